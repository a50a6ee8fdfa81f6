/** Smaller bodies, where the browser can. */
import { useCompress } from "./send";

export const gzip = (): void => {
  if (window.CompressionStream) {
    useCompress((body) =>
      new Response(new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer(),
    );
  }
};
