import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { VERSION: '"0.0.0-test"' },
  test: { environment: "jsdom", setupFiles: ["./test/setup.ts"] },
});
