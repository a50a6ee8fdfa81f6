/** Ids that stand for nothing: `contract/nobody.py` is the rule and has the reasons, its table holds both. */
const NOBODY = /^(0*|null|undefined|none|nil|nan?|object(object|null|undefined|promise)|unknown|guest|anonymous(user)?|false|true|notset|empty)$/;
const LENGTH_MAX = 40;

export const isNobody = (id: string): boolean =>
  id.length > LENGTH_MAX ? !id.trim() : NOBODY.test(id.normalize("NFKC").toLowerCase().replace(/[^\p{L}\p{N}]/gu, ""));
