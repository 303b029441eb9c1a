import assert from "node:assert/strict";
import { test } from "node:test";

import { Answering } from "../../static/annotator/js/desk/answering.js";
import { createActiveClock } from "../../static/annotator/js/desk/clock.js";
import { decisionOf, workOn } from "../../static/annotator/js/work/concepts.js";
import { Counterparts } from "../../static/annotator/js/work/counterparts.js";
import { Drafting } from "../../static/annotator/js/desk/drafting.js";
import { Editor } from "../../static/annotator/js/work/editor.js";
import { maskArea } from "../../static/annotator/js/mask/masks.js";
import { draftOf, workFromDraft } from "../../static/annotator/js/work/payload.js";
import { createSession } from "../../static/annotator/js/desk/session.js";
import { createStore } from "../../static/annotator/js/work/store.js";
import { createTimes } from "../../static/annotator/js/desk/active-seconds.js";
import { EMPTY_WORK, openProposals, proposalsOf, workFrom } from "../../static/annotator/js/work/work.js";
import { at, IMAGE, stroke, wire } from "./support.js";

const proposal = (...args) => ({ score: 0.9, stability: 0.8, mask: wire(...args) });
const NAMES = { 7: "chicken", 8: "duck", 9: "feeder" };

/** A desk with two or three concepts: chicken has two proposals, duck one, feeder none; chicken is in hand. */
function pass(...ids) {
  const store = createStore(EMPTY_WORK);
  const editor = new Editor(store);
  const proposed = { 7: [proposal(1, 1, 6, 6), proposal(20, 10, 4, 4)], 8: [proposal(30, 20, 5, 5)], 9: [] };
  const members = ids.map((id, i) => ({
    task: { id, attempt: 1, concept: { name: NAMES[id], number: i + 1 } },
    proposals: proposalsOf({ proposal: { instances: proposed[id], model_version: "demo" } }),
  }));
  const works = Object.fromEntries(members.map(({ task, proposals }) => [task.id, workFrom(proposals)]));
  const group = members.map(({ task: { id, concept } }) => ({ taskId: id, ...concept }));
  editor.open({ taskId: 7, image: IMAGE, works, group });
  const counterparts = new Counterparts({ store, editor });
  const work = (id) => workOn(store.state, id);
  return { store, editor, counterparts, members, state: () => store.state, work, told: (id) => decisionOf(work(id)) };
}

function answering(desk) {
  const sent = [];
  const made = new Answering({
    ...desk,
    outbox: { add: (id, body, lead) => sent.push([id, body.verdict, body.instances.length, lead]) },
    session: createSession({ get: () => null, set: () => {} }),
    times: { of: () => 2 },
    current: () => ({ task: desk.members[0].task, members: desk.members }),
    whyNot: () => null,
    onSent: () => {},
  });
  return { answering: made, sent };
}

test("each concept keeps its own proposals, instances and cursor", () => {
  const { editor, counterparts, state, work } = pass(7, 8);
  editor.accept();
  assert.equal(counterparts.number(2), "duck in hand.");
  assert.deepEqual([state().taskId, state().instances.length, state().proposals.length], [8, 0, 1]);
  assert.deepEqual([work(7).instances.length, work(7).cursor], [1, { kind: "proposal", key: 1 }]);
});

test("undo goes back to the concept that the edit was about, and redo does it there again", () => {
  const { editor, counterparts, state, work } = pass(7, 8);
  editor.accept();
  counterparts.number(2);
  assert.equal(editor.undo(), "Undone: accept proposal.");
  assert.deepEqual([state().taskId, state().instances.length], [7, 0]);
  editor.redo();
  assert.equal(work(7).instances.length, 1);
  assert.equal(work(8).instances.length, 0);
});

test("choosing a concept alone is nothing to undo", () => {
  const { editor, counterparts, state } = pass(7, 8);
  counterparts.number(2);
  assert.equal(editor.undo(), null);
  assert.equal(state().taskId, 8);
});

test("a new mask in hand goes along to the chosen concept, one that fixes stays with its own", () => {
  const { editor, counterparts, state, work } = pass(7, 8);
  editor.paint(stroke(30, 5));
  assert.equal(counterparts.number(2), "The mask in hand is duck now.");
  editor.accept();
  assert.equal(work(8).instances.length, 1);
  counterparts.number(1);
  editor.accept();
  editor.select({ kind: "instance", key: state().instances[0].key });
  editor.take();
  counterparts.number(2);
  assert.equal(state().hand, null);
  assert.ok(work(7).hand.replaces);
});

test("a click that the model has not answered finds its hand under the next concept", () => {
  const { store, editor, counterparts, state, work } = pass(7, 8);
  editor.addPrompt(at(33, 3));
  counterparts.number(2);
  const [{ mask }] = work(7).proposals;
  editor.answer(store.state.hand.token, { candidates: [{ mask, score: 0.9, maskId: "m" }], modelVersion: "demo" });
  editor.accept();
  assert.deepEqual([state().taskId, state().instances.length, work(7).hand], [8, 1, null]);
});

test("N decides the concept in hand and goes on to the next one that is not decided", () => {
  const { counterparts, state, told } = pass(7, 8, 9);
  assert.match(counterparts.sayAbsent(), /Next: duck/);
  assert.deepEqual([state().taskId, told(7), told(8)], [8, "absent", "undecided"]);
  counterparts.number(3);
  counterparts.sayAbsent();
  assert.equal(state().taskId, 8);
  assert.match(counterparts.sayAbsent(), /All is decided/);
});

test("an accepted mask takes «absent» back, and undo says it again", () => {
  const { editor, counterparts, told } = pass(7, 8);
  counterparts.sayAbsent();
  counterparts.number(1);
  editor.acceptProposal(0);
  assert.equal(told(7), "present");
  editor.undo();
  assert.equal(told(7), "absent");
  editor.undo();
  assert.equal(told(7), "undecided");
});

test("Space goes to what is not decided, then submits each concept by itself under the first one's pass", () => {
  const desk = pass(7, 8);
  const { answering: space, sent } = answering(desk);
  assert.match(space.present(), /chicken is not decided/);
  desk.editor.autoAccept(0);
  assert.equal(space.present(), "Not decided yet: duck.");
  assert.deepEqual([desk.state().taskId, sent], [8, []]);
  assert.match(space.absent(), /All is decided/);
  assert.equal(space.present(), "Submitted: chicken 2, duck absent.");
  assert.deepEqual(sent, [
    [7, "present", 2, 7],
    [8, "absent", 0, 7],
  ]);
});

test("open proposals of any concept are asked about once", () => {
  const desk = pass(7, 8);
  const { answering: space, sent } = answering(desk);
  desk.editor.accept();
  desk.counterparts.number(2);
  desk.editor.accept();
  assert.match(space.present(), /1 proposal \(chicken\) is still undecided/);
  assert.equal(desk.state().taskId, 7);
  space.present();
  assert.equal(sent.length, 2);
});

test("N with masks is asked twice, and the masks come back by undo", () => {
  const desk = pass(7, 8);
  const { answering: n } = answering(desk);
  desk.editor.accept();
  assert.match(n.absent(), /You have 1 instance/);
  n.absent();
  assert.equal(desk.told(7), "absent");
  desk.editor.undo();
  assert.equal(desk.work(7).instances.length, 1);
});

test("alone, N submits at once and Space wants a mask, as ever", () => {
  const desk = pass(7);
  const { answering: keys, sent } = answering(desk);
  assert.match(keys.present(), /Nothing is accepted yet/);
  assert.equal(keys.absent(), "Not in the image: submitted.");
  assert.deepEqual(sent, [[7, "absent", 0, 7]]);
  assert.equal(desk.counterparts.number(2), null);
});

test("a copy lies under the other concept, settles its proposal there, and goes by one undo", () => {
  const { editor, counterparts, state, work } = pass(7, 8);
  editor.paint(stroke(32, 22));
  editor.accept();
  editor.select({ kind: "instance", key: state().instances[0].key });
  assert.equal(counterparts.transfer("copy"), "Copied to duck.");
  assert.equal(counterparts.transfer("copy"), "The same mask is marked as duck already.");
  assert.deepEqual([work(7).instances.length, work(8).instances.length], [1, 1]);
  assert.equal(work(8).instances[0].mask, work(7).instances[0].mask);
  editor.undo();
  assert.equal(work(8).instances.length, 0);
});

test("with three concepts the number says where to move, and the accepted proposal becomes a false positive", () => {
  const { editor, counterparts, state, work } = pass(7, 8, 9);
  editor.accept();
  editor.select({ kind: "instance", key: state().instances[0].key });
  assert.match(counterparts.transfer("move"), /which concept/);
  assert.equal(counterparts.number(3), "Moved to feeder.");
  assert.deepEqual([state().taskId, state().instances.length, state().rejected], [7, 0, [0]]);
  assert.equal(work(9).instances.length, 1);
  editor.undo();
  assert.deepEqual([state().instances.length, state().rejected, work(9).instances.length], [1, [], 0]);
});

test("Esc gives up what waited for a number", () => {
  const { editor, counterparts, state } = pass(7, 8, 9);
  editor.accept();
  editor.select({ kind: "instance", key: state().instances[0].key });
  counterparts.transfer("copy");
  assert.equal(editor.drop(), "Given up.");
  assert.equal(counterparts.number(2), "duck in hand.");
});

test("merging makes one instance with the pixels of both, by two presses, and undo parts them", () => {
  const { editor, counterparts, state } = pass(7);
  editor.autoAccept(0);
  editor.paint(stroke(33, 3));
  editor.accept();
  const [first, , third] = state().instances;
  editor.select({ kind: "instance", key: first.key });
  assert.match(counterparts.merge(), /which other/);
  editor.select({ kind: "instance", key: third.key });
  assert.equal(counterparts.merge(), "Instances 1 and 3 are one now.");
  assert.equal(state().instances.length, 2);
  assert.equal(maskArea(state().instances[0].mask), maskArea(first.mask) + maskArea(third.mask));
  assert.ok(state().instances[0].edited);
  editor.undo();
  assert.equal(state().instances.length, 3);
});

test("of two instances one press merges both, and no proposal of theirs is open again", () => {
  const { editor, counterparts, state } = pass(7);
  editor.autoAccept(0);
  editor.select({ kind: "instance", key: state().instances[1].key });
  assert.equal(counterparts.merge(), "Instances 1 and 2 are one now.");
  assert.deepEqual(openProposals(state()), []);
  assert.match(counterparts.merge(), /no second instance/);
});

test("drafts are saved for the concepts that changed and for no others", () => {
  const desk = pass(7, 8, 9);
  const [saved, hands] = [[], []];
  const drafts = { save: (id) => saved.push(id), saveHand: (id, hand) => hands.push([id, hand === null]) };
  const drafting = new Drafting({ ...desk, drafts, times: { of: () => 0 }, dialogs: {} });
  drafting.settle();
  desk.store.subscribe((state) => drafting.save(state));
  desk.counterparts.number(2);
  assert.deepEqual(saved, []);
  desk.editor.accept();
  desk.editor.select({ kind: "instance", key: desk.state().instances[0].key });
  desk.counterparts.transfer("copy");
  desk.counterparts.number(3);
  assert.deepEqual(saved, [8, 9]);
  desk.editor.paint(stroke(5, 5));
  desk.counterparts.number(1);
  assert.deepEqual(hands, [
    [8, false],
    [7, false],
    [8, true],
  ]);
});

test("another tab's state of a concept that is not in hand leaves the one in hand alone", () => {
  const desk = pass(7, 8);
  const theirs = pass(7, 8);
  theirs.counterparts.number(2);
  theirs.editor.accept();
  const payload = JSON.parse(JSON.stringify(draftOf({ ...theirs.work(8), image: IMAGE }, 3)));
  desk.editor.accept();
  const drafting = new Drafting({ ...desk, drafts: {}, times: { of: () => 0 }, dialogs: {} });
  drafting.takeUp(desk.members[1], payload);
  assert.deepEqual([desk.state().taskId, desk.work(7).instances.length, desk.work(8).instances.length], [7, 1, 1]);
  assert.equal(desk.work(8).instances[0].proposal, 0);
});

test("«absent» survives in the draft", () => {
  const { counterparts, work } = pass(7, 8);
  counterparts.sayAbsent();
  const payload = JSON.parse(JSON.stringify(draftOf({ ...work(7), image: IMAGE }, 3)));
  assert.equal(workFromDraft(payload).absent, true);
});

test("active time counts for the concept in hand", () => {
  let seconds = 0;
  const times = createTimes(createActiveClock(() => 1000 * seconds));
  times.start([[7, 4]], 7);
  seconds = 2;
  times.turnTo(8);
  seconds = 5;
  times.turnTo(7);
  seconds = 6;
  assert.deepEqual([times.of(7), times.of(8), times.total], [7, 3, 10]);
});

test("answers of one pass are reopened together, the last ten passes at most", () => {
  const session = createSession({ get: () => null, set: () => {} });
  for (let image = 10; image <= 110; image += 10) for (const one of [0, 1]) session.sent(image + one, image);
  assert.deepEqual(session.takeLast(), [110, 111]);
  for (let image = 10; image >= 2; image--) session.takeLast();
  assert.deepEqual(session.takeLast(), []);
});
