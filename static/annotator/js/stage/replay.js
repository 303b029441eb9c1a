/** The annotator's clicks one after the other, as they were made. */

const STEP_MS = 450;

/** [{prompts, shown, instance}] for each moment of the replay. */
export function replaySteps(instances) {
  return instances.flatMap(({ prompts }, instance) => prompts.map((_, i) => ({ prompts, shown: i + 1, instance })));
}

const described = ({ box, label }) => (box ? "a box" : label ? "a click adds" : "a click takes away");

/** `onStep(step | null)`; with reduced motion all clicks come at once and stay until the next press. */
export function createReplay({ onStep, say, isStill }) {
  let timer = null;

  function stop() {
    clearTimeout(timer);
    timer = null;
    onStep(null);
  }

  function play(steps, at = 0) {
    if (at >= steps.length) {
      timer = setTimeout(stop, 4 * STEP_MS);
      return;
    }
    const { instance, shown, prompts } = steps[at];
    onStep(steps[at]);
    say(`Instance ${instance + 1}, ${shown} of ${prompts.length}: ${described(prompts[shown - 1])}.`);
    timer = setTimeout(() => play(steps, at + 1), STEP_MS);
  }

  return {
    stop,
    start(instances) {
      const steps = replaySteps(instances);
      if (timer || !steps.length) {
        stop();
        return steps.length ? "Replay stopped." : "No clicks or boxes were made: accepted or drawn by hand.";
      }
      if (!isStill()) return play(steps);
      const prompts = instances.flatMap((one) => one.prompts);
      onStep({ prompts, shown: prompts.length });
      timer = setTimeout(stop, 20 * STEP_MS);
      return `${prompts.length} clicks and boxes shown.`;
    },
  };
}
