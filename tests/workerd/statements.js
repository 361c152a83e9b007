// Where one SQL statement ends and the next begins, as D1's `/query` sees it.
//
// The real splitter is not published. What is known of it is that it takes less than SQLite does:
// `BEGIN` opens the body of a trigger in capitals only (workers-sdk#15314, #10998) and not before a
// carriage return (#14991), and the first `END` closes it, even a CASE's (#4326). This one is as
// strict, so that a migration that would break there breaks here, with the same message.
const SPACE = /[ \t\n]/;
const BLANK = /^(?:--|\/\*|\s)/;
const TOKEN = new RegExp(
  [
    String.raw`--[^\n]*|/\*[^]*?(?:\*/|$)`, // Comments,
    String.raw`'(?:[^']|'')*'|"(?:[^"]|"")*"|\`[^\`]*\`|\[[^\]]*\]`, // texts and quoted names,
    String.raw`\w+|[^]`, // words, and whatever else there is.
  ].join("|"),
  "g",
);

export function statementsOf(sql) {
  const statements = [];
  let [text, isBlank, isBody] = ["", true, false];
  for (const { 0: token, index } of sql.matchAll(TOKEN)) {
    if (token === ";" && !isBody) {
      if (!isBlank) statements.push(text.trim());
      [text, isBlank] = ["", true];
      continue;
    }
    if (token === "BEGIN" && SPACE.test(sql[index - 1] ?? "") && SPACE.test(sql[index + 5] ?? "")) {
      isBody = true;
    } else if (/^END$/i.test(token)) {
      isBody = false;
    }
    text += token;
    isBlank &&= BLANK.test(token);
  }
  if (!isBlank) statements.push(text.trim());
  return statements;
}
