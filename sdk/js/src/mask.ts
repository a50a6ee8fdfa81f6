/**
 * Numbers of people, before they leave the device. The collector has the last word; this is the first.
 *
 * No look-behind: it is a syntax error, of the whole file, in Safari before 16.4.
 */
import { useMask } from "./client";
import { options } from "./options";

const EMAIL = /[\w.+-]{1,64}@[\w가-힣.-]+\.[a-z가-힣]{2,}/gi;
const RESIDENT = /(^|\D)(\d\d[01]\d[0-3]\d[-. +]{0,3}[1-8]\d{6})(?!\d)/g;
const CARD = /(^|\D)(([3-69]\d|2[2-7])\d\d([-. +]{0,3}\d){10,15})(?!\d)/g;
const PHONE =
  /(^|\D)(\+?82[-. (0)]{0,5}|\(?0)(1[016-9][-. )]{0,3}|(2|[3-6]\d|70|50\d)[-. )]{1,3})\d{3,4}[-. ]{0,3}\d{4}(?!\d)/g;
const ACCOUNT = /(^|[^\d-])(?!20\d\d-)\d{2,6}-\d{2,6}-\d{4,8}(-\d{1,3})?(?![\d-])/g;
const NEAR_MS = 400 * 864e5;

/** Luhn's sum. */
const isCard = (text: string): boolean =>
  [...text.replace(/\D/g, "")].reverse().reduce((sum, digit, i) => sum + +(i % 2 ? "0246813579"[+digit]! : digit), 0) % 10 == 0;

/** Return the text without personal numbers and addresses. */
export const masked = (text: string): string =>
  (options.accounts ?? [])
    .reduce(
      (left, account) => left.replace(account, "[account]"),
      text
        .replace(/[！-～]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0))
        .replace(/@/.test(text) ? EMAIL : "@", "[email]"),
    )
    .replace(RESIDENT, (all, before, number) =>
      // Milliseconds near now look like one too, from 2027 on.
      Math.abs(number - Date.now()) < NEAR_MS ? all : before + "[rrn]",
    )
    .replace(CARD, (all, before, number) => (isCard(number) ? before + "[card]" : all))
    .replace(PHONE, "$1[phone]")
    .replace(ACCOUNT, "$1[account]");

export const masks = (): void => useMask(masked);
