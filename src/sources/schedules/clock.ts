/** The clock that schedules go by: of the wall, so that it may jump. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back after so many milliseconds. @returns Takes it back. */
  after(milliseconds: number, callback: () => void): () => void;
}

export const wallClock: Clock = {
  now: () => Date.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds).unref();
    return () => clearTimeout(timer);
  },
};
