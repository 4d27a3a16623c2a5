// Live updates: at most one request is in flight, the latest row wins, and updates pause after a 429 or 503.

const DELAY = 200;
const RESERVE = 0.1;

export class Live {
  // `run` sends the requests for the current row. It resolves to the seconds to wait before the next try, or null.
  constructor(run, onWait = () => {}) {
    Object.assign(this, { run, onWait, isRunning: false, isStale: false, timer: null });
  }

  // Update soon. Calls in quick succession are one.
  request(delay = DELAY) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), delay);
  }

  cancel() {
    clearTimeout(this.timer);
    this.isStale = false;
  }

  async start() {
    this.isStale = true;
    if (this.isRunning) return;
    this.isRunning = true;
    try {
      while (this.isStale) {
        this.isStale = false;
        const seconds = await this.run();
        if (seconds) await this.pause(seconds);
      }
    } finally {
      this.isRunning = false;
    }
  }

  // Wait before the row is sent again, unless the update is cancelled.
  async pause(seconds) {
    this.isStale = true;
    for (let left = seconds; left > 0 && this.isStale; left -= 1) {
      this.onWait(left);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

// A window of a rate limit with at most a tenth of its requests left, or undefined. The tenth is for the caller's own
// requests.
export const exhausted = (windows) => windows.find(({ remaining, limit }) => remaining <= Math.ceil(limit * RESERVE));
