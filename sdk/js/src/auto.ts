export * from "./api";
export type { EventFields } from "./client";
export type { EventType, Fields, Platform } from "./fields";
export { type AutoOptions, init } from "./parts";
