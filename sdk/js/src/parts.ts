/** All of them, in the order they start: pages before campaigns, so that a session's first event is told where from. */
import { bridge } from "./bridge";
import { campaigns } from "./campaigns";
import { clicks } from "./clicks";
import { errors } from "./errors";
import { exits } from "./exits";
import { gzip } from "./gzip";
import { init as begin, isOff } from "./init";
import { masks } from "./mask";
import { network } from "./network";
import type { Options } from "./options";
import { pages } from "./pages";
import { requests } from "./requests";
import { sights } from "./sights";
import { spill } from "./spill";

const parts = { spill, gzip, network, bridge, campaigns, pages, clicks, sights, errors, requests, exits };

/** What `init` of everything takes: parts are switched off by name, `{ clicks: false }`. */
export type AutoOptions = Omit<Options, "use"> & { [part in keyof typeof parts]?: boolean };

/** Begin, with everything recorded by itself. */
export const init = (given: AutoOptions): void =>
  begin({
    ...given,
    use: [
      masks,
      ...Object.entries(parts).flatMap(([name, part]) => (isOff(given[name as keyof typeof parts]) ? [] : part)),
    ],
  });
