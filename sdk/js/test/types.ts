// Compiled, never run: every wrong use is a compile error, every right one is none.
import * as auto from "../src/auto";
import { click, clicks, error, init, masks, pages, reset, set, step, track } from "../src/index";

init({ url: "https://c.example", key: "k", use: [masks, pages, clicks], context: { app_version: "1" } });
auto.init({ url: "https://c.example", key: "k", clicks: false, flushMs: 500 });
const id: string = track("order_sent", { page_code: "M0301", props: { quantity: 10 }, time: 1 });
step({ flow_name: "account_opening", step_position: 3, step_name: id });
error(new Error("x"));
error({ error_code: "ORD-1" });
set({ page_code: null, customer_id: "c" });
reset({ visitor: true });

// @ts-expect-error: no key
init({ url: "https://c.example" });
// @ts-expect-error: no url
auto.init({ key: "k" });
// @ts-expect-error: no such option
init({ url: "u", key: "k", flush: 1 });
// @ts-expect-error: a part is a function
init({ url: "u", key: "k", use: ["clicks"] });
// @ts-expect-error: no such part
auto.init({ url: "u", key: "k", scrolls: false });
// @ts-expect-error: an option of another type
init({ url: "u", key: "k", flushMs: "500" });
// @ts-expect-error: an event of one's own has a name
track();
// @ts-expect-error: no such field
click({ clickText: "매수" });
// @ts-expect-error: no such field
track("a", { pageCode: "M0301" });
// @ts-expect-error: a field of another type
step({ step_position: "3" });
// @ts-expect-error: no such platform
init({ url: "u", key: "k", context: { platform: "tv" } });
// @ts-expect-error: a field of another type
set({ page_code: 7 });
