import { options } from "./options";

/** Campaigns and click ids, by name. */
export const TOUCH = "(utm(_|%5F)\\w+|\\w*clid|msclkid|[gw]braid|n_ad|n_media|NaPm|DMKW|li_fat_id|rdt_cid|ScCid)";
const KEPT = RegExp(`^(${TOUCH}|page|tab|sort|lang|category|menu)$`, "i");
const NO_ROUTE = RegExp(`#(?![!/]|.*\\b${TOUCH}=).*`, "i");
// A second question mark is part of a value, and of an address in one; but a campaign's behind a plain value.
const PAIR = RegExp(`([?&;#]([^=&;#?]*)=)([^&;#/?]*(?=\\?${TOUCH}=)|[^&;#]*)`, "gi");

/** Return the address without query values, which may be anybody's, and without a fragment that tells no route or campaign. */
export const plainUrl = (url: string): string =>
  url
    .replace(NO_ROUTE, "")
    // The root of a router in the fragment is the page itself.
    .replace(/#!?\/?$/, "")
    .replace(PAIR, (all, before, name) => (KEPT.test(name) || options.queryNames.includes(name) ? all : before));

let href: string;
let plain: string;

/** Return the page's own. */
export const here = (): string => (href == location.href ? plain : (plain = plainUrl((href = location.href))));
