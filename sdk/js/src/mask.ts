/**
 * Numbers of people, before they leave the device. The collector has the last word; this is the first. Both are held
 * to one table, `contract/personal.json`; what is written here once is explained in `collector_server/personal.py`.
 *
 * No look-behind: it is a syntax error, of the whole file, in Safari before 16.4.
 */
import { quietly } from "./guard";
import { options } from "./options";
import { useMask } from "./text";

const all = (pattern: string): RegExp => RegExp(pattern, "g");

const SEP = "(?:[ +]{0,4}[.-][ +]{0,4}|[ +]{1,4})";
const BEHIND = `(?:\\)${SEP}?|${SEP})`;
const LINE = `\\d{3,4}${SEP}?\\d{4}`;
const DIRECT = `(?:1[016-9]|70|50[2-8])${BEHIND}?${LINE}`;
const ZERO = `(?:${SEP}?\\(0\\)${SEP}?|${SEP}?\\(?0?)`;
const ABROAD = `\\(?(?:\\+ ?|00 ?)82\\)?${ZERO}`;
const DAY = "(?:0[1-9]|[12]\\d";
const MONTH = "(?:0[1-9]|1[0-2])";
const DASH = " ?- ?";
const FOURS = `(?:[3-69]\\d{3}|2(?:2(?:2[1-9]|[3-9]\\d)|[3-6](?:00|1[3-9]|[2-9]\\d)|7(?:00|1[3-9]|20)))(?:${SEP}?\\d{4}){2}${SEP}?`;

const LABELS = "([\\p{L}\\p{N}-]{1,63}\\.)+";
const WIDE_TOP = "([cC][oO][mM]?|[nN][eE][tT]|[oO][rR][gG]|[kK][rR]|[jJ][pP]|[iI][oO])(?![a-z])";
// A version, a picture's scale, an object's hash, a file.
const DOUBTFUL =
  "\\d+(\\.\\d|x\\.)|(?=[a-f]*\\d)[\\da-f]{7,8}(?![\\p{L}\\p{N}-])|[\\p{L}\\p{N}.-]*\\.([cm]?jsx?|tsx?|vue|s?css|map|min|json|x?html|xml|txt|png|jpe?g|gif|svg|webp|avif|ico|pdf|woff|apk|PNG|JPE?G|GIF|SVG|PDF|JSON)(?![\\p{L}\\p{N}-])";
const EMAIL = RegExp(
  `((?:[\\w.%+-]|(?![\\w가-힣])[\\p{L}\\p{N}]){1,64}|[가-힣]{1,64})@((?!${DOUBTFUL})${LABELS}(한국|닷[컴넷]|삼성|xn--[\\w-]+|(?=[A-Za-z]{2})[A-Z]*[a-z]*(?![A-Za-z\\d-])|${WIDE_TOP}|(?:(?![A-Za-z가-힣])\\p{L}){2,})|${LABELS}${WIDE_TOP})`,
  "gu",
);
const MACHINE =
  /(^|[^a-z\d]|\b0x)([\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}|(?=\d*[a-f])[\da-f]{16,})(?![a-z\d])/gi;
const RESIDENT = all(
  `(^|\\D)(\\d\\d(?:${MONTH}${DAY})|(?:0[13-9]|1[0-2])30|(?:0[13578]|1[02])31)${SEP}?[1-8]\\d{6})(?!\\d)`,
);
const CARDS = [`${FOURS}\\d{4}${SEP}\\d{1,3}`, `${FOURS}\\d{2,7}|3\\d{3}${SEP}?\\d{6}${SEP}?\\d{4,5}`].map((card) =>
  all(`(^|\\D)(${card})(?!\\d)`),
);
// Of each form the digits of its parts.
const FORMS = "336|326|436|626|365|363|3623|3442|3443|427".replace(/\B\d/g, DASH + "$&").replace(/\d/g, "\\d{$&}");
const ACCOUNT = all(
  `(^|\\D-|[^\\d-])(?!(?:19|20)\\d\\d ?-|2\\d${MONTH}${DAY}|3[01]) ?-)(?:${FORMS}|100\\d${DASH}\\d{4}${DASH}\\d{4})(?!\\d|-\\d)`,
);
const PHONE = all(
  `(^|\\D)(20\\d\\d[.-]02[.-]\\d{7,8})(?!\\d)|(^|\\D|(?=\\(?\\+))(?:(?:${ABROAD}|\\(?0)${DIRECT}|\\(?82\\)?${ZERO}1[016-9]${BEHIND}?${LINE}|\\(?0(?:2|[3-6]\\d)${BEHIND}${LINE}|${ABROAD}(?:2|[3-6]\\d)${BEHIND}?${LINE})(?!\\d)`,
);
// The shortest number of a person has nine digits, with no more between two of them; most texts have no such row.
const MANY = /\d([ +.()-]{0,24}\d){8}/;
const NEAR_MS = 400 * 864e5;

/** Luhn's sum. Without `reduce`, which some pages' libraries have made another. */
const isCard = (text: string): boolean => {
  const digits = text.replace(/\D/g, "");
  let sum = 0;
  for (let i = 1; i <= digits.length; i++) {
    const digit = +digits[digits.length - i]!;
    sum += i % 2 ? digit : +"0246813579"[digit]!;
  }
  return sum % 10 == 0;
};

/** Which of its ten a digit of any script is: the ten stand together. */
const digitOf = (digit: string): string => {
  let before = 0;
  while (/\p{Nd}/u.test(String.fromCodePoint(digit.codePointAt(0)! - ++before)));
  return String((before - 1) % 10);
};

const UNSEEN = "[\\p{Zl}\\p{Zp}\\p{C}\\p{M}ᅟᅠㅤﾠ⠀�]{0,16}";
const BESIDE_AN_AT = RegExp(`${UNSEEN}@${UNSEEN}`, "gu");

/** Write digits, and what stands between and beside them, in one way. */
const fold = (text: string): string => {
  for (let rounds = 3; /%/.test(text) && rounds--; )
    text = text.replace(/%(25)+(?=[\da-f]{2})/gi, "%").replace(/%[0-7][\da-f]|(%[89a-f][\da-f])+/gi, (run) => {
      const plain = quietly(() => decodeURIComponent(run))!;
      return /^[\w.+@() ~-]$|[^ -~]/.test(plain) ? plain : run;
    });
  return /[^ -~가-힣]/.test(text)
    ? text
        .replace(/[！-～]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0))
        .replace(/[·•‧∙⋅・･ㆍ。｡﹒]/g, ".")
        .replace(/[\p{Pd}−\xad˗⁃─━ーｰㅡ]/gu, "-")
        .replace(/\p{Zs}/gu, " ")
        .replace(/(?!\d)\p{Nd}/gu, digitOf)
        .replace(/(\d)\p{M}+/gu, "$1")
        .replace(/[﹙﹚﹢﹫]/g, (small) => "()+@"["﹙﹚﹢﹫".indexOf(small)]!)
        .replace(BESIDE_AN_AT, "@")
        .replace(/([A-Za-z.@-])\p{Cf}+(?=[A-Za-z\d.@-])/gu, "$1")
        .replace(/([\d().+-])[\p{Z}\p{C}\p{M}ᅟᅠㅤﾠ⠀�]+(?=[\d().+-])/gu, (run) => run[0]!.padEnd(run.length))
    : text;
};

/** Return the text without personal numbers and addresses. */
export const masked = (text: string): string => {
  const plain = fold(text);
  if (!/@/.test(plain) && !options.accounts[0] && !MANY.test(plain)) return text;
  const kept: string[] = [];
  let left = /@/.test(plain) ? plain.replace(EMAIL, "[email]") : plain;
  for (const account of options.accounts) left = left.replace(account as RegExp, "[account]");
  left = left
    .replace(MACHINE, (_, before, id) => (kept.push(id), before + "\ue000"))
    .replace(RESIDENT, (all, before, number) =>
      // Milliseconds near now look like one too, from 2027 on.
      Math.abs(number - Date.now()) < NEAR_MS ? all : before + "[rrn]",
    );
  for (const card of CARDS)
    for (let found; (found = card.exec(left)); card.lastIndex = found.index + 1)
      if (isCard(found[2]!)) left = left.slice(0, found.index) + found[1] + "[card]" + left.slice(card.lastIndex);
  left = left
    .replace(ACCOUNT, "$1[account]")
    .replace(PHONE, (all, _, dated, before) => (dated ? all : before + "[phone]"))
    .replace(/\ue000/g, () => kept.shift() ?? "");
  return left == plain ? text : left;
};

export const masks = (): void => useMask(masked);
