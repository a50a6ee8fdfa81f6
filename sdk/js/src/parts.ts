/** All of them, in the order they start: pages before campaigns, so that a session's first event is told where from. */
import { bridge } from "./bridge";
import { campaigns } from "./campaigns";
import { clicks } from "./clicks";
import { errors } from "./errors";
import { exits } from "./exits";
import { gzip } from "./gzip";
import { quietly } from "./guard";
import { init as begin } from "./init";
import { flagOf } from "./kinds";
import { masks } from "./mask";
import { network } from "./network";
import type { Options, Part } from "./options";
import { pages } from "./pages";
import { requests } from "./requests";
import { sights } from "./sights";
import { spill } from "./spill";

const parts = { spill, gzip, network, bridge, campaigns, pages, clicks, sights, errors, requests, exits };

/** What `init` of everything takes: parts are switched off by name, `{ clicks: false }`. */
export type AutoOptions = Omit<Options, "use"> & { [part in keyof typeof parts]?: boolean };

/** Begin, with everything recorded by itself. */
export const init = (given: AutoOptions): void =>
  quietly(() => {
    const left: AutoOptions = { ...given };
    const use: Part[] = [masks];
    for (const [name, part] of Object.entries(parts) as [keyof typeof parts, Part][]) {
      if (flagOf(left[name]) != false) use.push(part);
      delete left[name];
    }
    begin({ ...left, use });
  });
