// examples/consumer-worker with every delivery noted, after it was handled.
import example from "./example/index.js";
import { record } from "./recorder.js";

export default {
  async queue(batch, env) {
    try {
      await example.queue(batch, env);
    } finally {
      await record(batch, env);
    }
  },
};
