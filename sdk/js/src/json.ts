/**
 * JSON as the language has it, whatever a page has hung on the prototypes of arrays and objects.
 *
 * Prototype 1.6 gives every array a `toJSON` that returns a text. It is called before anybody can say no; but the holder
 * still has the value itself.
 */

// Before a page puts something else there.
export const { parse } = JSON;
const { stringify } = JSON;
const { toJSON } = Date.prototype;

type Holder = { [name: string]: any };

/** Return the value as it is without a `toJSON` that everything has. */
const real = (holder: Holder, name: string, value: unknown): unknown => {
  const found = holder[name];
  if (found instanceof Date) return isNaN(+found) ? null : new Date(+found).toISOString();
  return found !== value && [([] as Holder)["toJSON"], ({} as Holder)["toJSON"]].includes(found.toJSON) ? found : value;
};

/** Return the text of a value, each part of which `change` may replace. */
export const json = (value: unknown, change?: (found: unknown) => unknown): string =>
  // On most pages nothing hangs there, and nobody need be asked about every part.
  change || ([] as Holder)["toJSON"] || Date.prototype.toJSON != toJSON
    ? stringify(value, function (this: Holder, name: string, found: unknown) {
        found = real(this, name, found);
        return change ? change(found) : found;
      })
    : stringify(value);
