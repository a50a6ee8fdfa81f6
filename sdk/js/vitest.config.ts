import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { VERSION: '"0.0.0-test"' },
  // Threads, because what a forked process sends home is JSON, and some tests spoil the prototypes for it.
  test: { environment: "jsdom", pool: "threads", setupFiles: ["./test/setup.ts"] },
});
