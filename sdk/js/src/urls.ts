import { options } from "./options";

/** Campaigns and click ids, by name. */
export const TOUCH = "utm_\\w+|\\w*clid|msclkid|[gw]braid|n_ad|n_media|NaPm|DMKW|li_fat_id|rdt_cid|ScCid";
const KEPT = RegExp(`^(${TOUCH}|page|tab|sort|lang|category|menu)$`, "i");

/** Return the address without query values, which may be anybody's, and without a fragment that is no route. */
export const plainUrl = (url: string): string =>
  url
    .replace(/#(?![!/]).*/, "")
    .replace(/([?&;#]([^=&;#?]*)=)[^&;#]*/g, (all, before, name) =>
      KEPT.test(name) || options.queryNames?.includes(name) ? all : before,
    );

let href: string;
let plain: string;

/** Return the page's own. */
export const here = (): string => (href == location.href ? plain : (plain = plainUrl((href = location.href))));
