import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ACTIONS,
  changedMembers,
  isTime,
  parseSubject,
  shortValue,
  stateOf,
  subjectOf,
} from "../../dashboard/lib/audit.js";
import { en } from "../../dashboard/strings/en.js";

test("only members that differ are listed", () => {
  const before = { name: "a", tags: ["x"], note: null, priority: 1 };
  const after = { name: "b", tags: ["x"], priority: 1, project: "p" };
  assert.deepEqual(changedMembers(before, after), [
    { member: "name", before: "a", after: "b" },
    { member: "project", before: undefined, after: "p" },
  ]);
});

test("of something new or deleted, the members that it has are listed", () => {
  assert.deepEqual(changedMembers(null, { name: "a", note: null }), [
    { member: "name", before: undefined, after: "a" },
  ]);
  assert.deepEqual(changedMembers({ name: "a" }, null), [
    { member: "name", before: "a", after: undefined },
  ]);
  assert.deepEqual(changedMembers(null, null), []);
});

test("values that are no objects are compared as a whole", () => {
  assert.deepEqual(changedMembers([1], [1, 2]), [{ member: "value", before: [1], after: [1, 2] }]);
});

test("values are as short as they can be", () => {
  assert.equal(shortValue("text"), "text");
  assert.equal(shortValue(["a", "b"]), "a, b");
  assert.equal(shortValue([["key:3", "", "requests", "day", 250]]), "key:3 requests day 250");
  assert.equal(shortValue({ fault: "429", calls_left: 5 }), "fault: 429, calls_left: 5");
  assert.equal(shortValue([]), "");
  assert.equal(shortValue(0), "0");
  assert.equal(shortValue(null), null);
  assert.equal(shortValue(undefined), null);
});

test("subjects that have a view are recognised", () => {
  assert.deepEqual(parseSubject("key:3"), { kind: "key", id: 3 });
  assert.deepEqual(parseSubject("token:12"), { kind: "token", id: 12 });
  for (const subject of ["keys", "key:", "key:x", "project:3", "", null]) {
    assert.equal(parseSubject(subject), null, subject);
  }
});

test("a subject may be typed in several ways", () => {
  for (const text of ["key:3", " Key 3 ", "key #3", "3"])
    assert.equal(subjectOf(text), "key:3", text);
  assert.equal(subjectOf("token:2"), "token:2");
  assert.equal(subjectOf(""), "");
});

test("each action has a text", () => {
  for (const action of ACTIONS) assert.ok(`audit.does.${action}` in en, action);
});

test("states are named by their number", () => {
  assert.deepEqual([0, 1, 2, 3, null].map(stateOf), ["disabled", "active", "cooling", null, null]);
});

test("times are recognised", () => {
  assert.ok(isTime("2030-01-01T00:00:00.000Z"));
  assert.ok(!isTime("2030-01-01"));
  assert.ok(!isTime(2030));
});
