// Flow instances that tests name. Those of Flogo are in tests/fixtures/flogo.

/** Its payloads and names would like to be markup. */
export const HOSTILE = "hostile-0000000000000000000000";
/** Ten thousand steps, three of which failed, idle for ten minutes in the middle. */
export const LONG = "long-00000000000000000000000000";
/** Failed in the task `boom`. */
export const FAILING = "3acf3de9dc7a3cc13f48d62a898ec63b";
/** Ran three times under its id. */
export const AGAIN = "ra".repeat(16);
/** Two other instances are re-runs of it. */
export const ORIGINAL = "rb".repeat(16);
/** One of them. */
export const RERUN = "rc".repeat(16);
/** Called another instance, which ran beside it. */
export const PARENT = "caller-000000000000000000000000";
/** That one. */
export const CHILD = "called-000000000000000000000000";
