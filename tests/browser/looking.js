// What the tests of the pages ask a page. Evaluated in it from outside: the page itself has no script.
(() => {
  const box = (element) => {
    const { left, top, right, bottom } = element.getBoundingClientRect();
    return { left, top, right, bottom };
  };
  const meet = (a, b, slack = 0.5) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > slack &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > slack;
  const shown = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return width > 0 && height > 0 && element.checkVisibility();
  };

  // Where an arrow goes, as small squares.
  const spots = (path) => {
    const half = parseFloat(getComputedStyle(path).strokeWidth) / 2;
    const [onto, length] = [path.getScreenCTM(), path.getTotalLength()];
    return Array.from({ length: Math.ceil(length / 2) }, (_, number) => {
      const { x, y } = path.getPointAtLength(number * 2).matrixTransform(onto);
      return { left: x - half, top: y - half, right: x + half, bottom: y + half };
    });
  };

  // Pairs of texts, of texts and boxes that are not theirs, and of texts and arrows, that meet.
  const overlaps = () => {
    const found = [];
    for (const svg of document.querySelectorAll("svg")) {
      const texts = [...svg.querySelectorAll("text")];
      const arrows = [...svg.querySelectorAll("path.arrow")].map((path) => [path, spots(path)]);
      texts.forEach((text, number) => {
        const mine = box(text);
        const said = text.textContent;
        for (const other of texts.slice(number + 1)) {
          if (meet(mine, box(other))) found.push(`${said} / ${other.textContent}`);
        }
        const named = text.classList.contains("label");
        for (const rect of svg.querySelectorAll("rect.box")) {
          if (named && meet(mine, box(rect))) found.push(`${said} / box`);
        }
        for (const [path, along] of arrows) {
          if (along.some((spot) => meet(mine, spot))) {
            found.push(`${said} / arrow ${path.getAttribute("d")}`);
          }
        }
      });
    }
    return found;
  };

  // What is wider than the page, but for what may be scrolled.
  const outside = () => {
    const width = document.documentElement.clientWidth;
    return [...document.querySelectorAll("body *")]
      .filter((each) => shown(each) && !each.closest(".scroll, .skip"))
      .filter((each) => each.getBoundingClientRect().right > width + 0.5)
      .map((each) => each.outerHTML.slice(0, 80));
  };

  const numbers = (colour) => {
    const found = colour.match(/[\d.]+/g).map(Number);
    return found.length === 3 ? [...found, 1] : found;
  };
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((each) => {
      const part = each / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  const behind = (element) => {
    const previous = element.closest("svg") && element.previousElementSibling;
    if (element.matches("text.state-name")) return numbers(getComputedStyle(previous).fill);
    if (element.matches("text.state-count")) {
      return numbers(getComputedStyle(previous.previousElementSibling).fill);
    }
    for (let each = element; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return [255, 255, 255, 1];
  };
  const speaks = (element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());

  // Texts, and marks that mean something, with too little contrast.
  const pale = (least, leastOfMarks) => {
    const texts = [...document.querySelectorAll("body *")].filter((e) => speaks(e) && shown(e));
    const found = texts.map((element) => {
      const style = getComputedStyle(element);
      const colour = numbers(element instanceof SVGElement ? style.fill : style.color);
      return [ratio(colour, behind(element)), element.textContent.trim().slice(0, 40)];
    });
    const marks = document.querySelectorAll(
      ".came, .trouble, .missed, .awaited, .jobs, .failures, .dot, .meter .limit, .arrow, .box",
    );
    const poor = found.filter(([value]) => value < least);
    for (const mark of marks) {
      const style = getComputedStyle(mark);
      const line = mark.matches(".limit, .arrow, .box");
      const value = ratio(numbers(line ? style.stroke : style.fill), behind(mark.closest("svg")));
      if (value < leastOfMarks) poor.push([value, mark.getAttribute("class")]);
    }
    return { poor, texts: found.length, marks: marks.length };
  };

  const focused = () => {
    const element = document.activeElement;
    if (element === document.body) return null;
    const style = getComputedStyle(element);
    const { left, top } = element.getBoundingClientRect();
    return {
      what: (element.getAttribute("aria-label") || element.textContent).trim(),
      seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && left >= 0,
      order: [...document.querySelectorAll("*")].indexOf(element),
      top,
    };
  };
  const headings = () =>
    [...document.querySelectorAll("h1, h2, h3")].map((each) => Number(each.tagName[1]));

  return { overlaps, outside, pale, focused, headings };
})();
