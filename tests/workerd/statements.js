// Where one SQL statement ends and the next begins, as D1's `/query` sees it.
//
// The real splitter is not published. Its users report (workers-sdk, by number) that it takes less
// than SQLite does. `BEGIN` opens the body of a trigger in capitals only (15314, 10998) and not
// before a carriage return (14991), and the first `END` closes it, even a CASE's (4326). Comments
// mean nothing to it: a semicolon in one ends a statement (3892, 4767), and a quotation mark in one
// opens a text (4713). This one is as strict: a migration that would break there breaks here.
import { Refusal } from "./answers.js";

const SPACE = /[ \t\n]/;
const BLANK = /^(?:--|\/\*|\s)/;
const COMMENT = String.raw`--[^\n]*|/\*[^]*?(?:\*/|$)`;
const QUOTED = String.raw`'(?:[^']|'')*(?:'|$)|"[^"]*(?:"|$)|` + "`[^`]*(?:`|$)";
const OTHER = String.raw`\w+|[^]`;

/** Return the statements of `sql`, or refuse what the real service would not get apart. */
export function statementsOf(sql) {
  const texts = split(sql, `${QUOTED}|${OTHER}`);
  for (const text of texts) {
    const { length } = split(text, `${COMMENT}|${QUOTED}|${OTHER}`);
    if (length === 0) throw refused("SQL code did not contain a statement.");
    if (length > 1) throw refused("A prepared SQL statement must contain only one statement.");
  }
  return texts;
}

function split(sql, tokens) {
  const statements = [];
  let [text, isBlank, isBody] = ["", true, false];
  for (const { 0: token, index } of sql.matchAll(new RegExp(tokens, "g"))) {
    if (token === ";" && !isBody) {
      if (!isBlank) statements.push(text.trim());
      [text, isBlank] = ["", true];
      continue;
    }
    if (opensBody(sql, token, index)) isBody = true;
    else if (/^END$/i.test(token)) isBody = false;
    text += token;
    isBlank &&= BLANK.test(token);
  }
  return isBlank ? statements : [...statements, text.trim()];
}

function opensBody(sql, token, index) {
  const [before = "", after = ""] = [sql[index - 1], sql[index + token.length]];
  return token === "BEGIN" && SPACE.test(before) && SPACE.test(after);
}

function refused(message) {
  return new Refusal(400, 7500, message, []);
}
