import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  bytesOf,
  encryptionState,
  groupSettings,
  matchesSearch,
  SECRET_SETTINGS,
  SETTING_GROUPS,
  variableOf,
} from "../../dashboard/lib/settings.js";
import { en } from "../../dashboard/strings/en.js";
import { zh } from "../../dashboard/strings/zh.js";

const manifest = readFileSync(new URL("../../spin.toml", import.meta.url), "utf8");
const section = manifest.split("[variables]\n")[1].split("\n[")[0];
const variables = [...section.matchAll(/^(\w+) = \{(.*)\}$/gm)].map(([, name, rest]) => ({
  name,
  isSecret: rest.includes("secret = true"),
}));
const setting = (name, value = null) => ({ name, value, is_set: true, is_default: false });

test("each variable of the manifest has a description in both languages", () => {
  assert.ok(variables.length > 30);
  for (const { name } of variables) {
    assert.equal(typeof en[`setting.${name}`], "string", name);
    assert.equal(typeof zh[`setting.${name}`], "string", name);
  }
});

test("each description is of a variable of the manifest", () => {
  const described = Object.keys(en).filter((key) => key.startsWith("setting."));
  const names = new Set(variables.map(({ name }) => `setting.${name}`));
  assert.deepEqual(
    described.filter((key) => !names.has(key)),
    [],
  );
});

test("each variable is in one group", () => {
  const grouped = SETTING_GROUPS.flatMap(([, names]) => names);
  assert.deepEqual(grouped.toSorted(), variables.map(({ name }) => name).toSorted());
});

test("the secrets are those of the manifest", () => {
  const secrets = variables.filter(({ isSecret }) => isSecret).map(({ name }) => name);
  assert.deepEqual(SECRET_SETTINGS.toSorted(), secrets.toSorted());
});

test("settings of a newer pool are in a group of their own, and empty groups are left out", () => {
  const groups = groupSettings([setting("new_one"), setting("log_format")]);
  assert.deepEqual(
    groups.map(({ group, settings }) => [group, settings.map(({ name }) => name)]),
    [
      ["log", ["log_format"]],
      ["other", ["new_one"]],
    ],
  );
});

test("variables are in capitals", () => {
  assert.equal(variableOf("max_attempts"), "SPIN_VARIABLE_MAX_ATTEMPTS");
});

test("a search finds words in names, variables, values and descriptions", () => {
  const attempts = setting("max_attempts", "5");
  for (const search of ["", "attempts", "SPIN_VARIABLE_MAX", "5", "keys TRIED", " max  keys "]) {
    assert.ok(matchesSearch(attempts, "How many keys are tried", search), search);
  }
  assert.ok(!matchesSearch(attempts, "How many keys are tried", "max tokens"));
});

test("bytes are shown in the largest whole unit", () => {
  assert.equal(bytesOf("33554432"), "32 MiB");
  assert.equal(bytesOf("1536"), null);
  assert.equal(bytesOf("2048"), "2 KiB");
  assert.equal(bytesOf("1073741824"), "1 GiB");
  assert.equal(bytesOf("x"), null);
  assert.equal(bytesOf("0"), null);
  assert.equal(bytesOf(null), null);
});

test("the most urgent state of encryption is told", () => {
  const none = {
    is_enabled: true,
    sealed: 5,
    sealed_with_previous: 0,
    in_clear_text: 0,
    unreadable: 0,
  };
  const state = (changes, hasPrevious = false) =>
    encryptionState({ ...none, ...changes }, hasPrevious);
  assert.equal(state({}), "done");
  assert.equal(state({}, true), "rotated");
  assert.equal(state({ in_clear_text: 1 }, true), "sealing");
  assert.equal(state({ in_clear_text: 1, sealed_with_previous: 1 }, true), "rotating");
  assert.equal(state({ is_enabled: false, sealed: 0, in_clear_text: 5 }), "off");
  assert.equal(state({ is_enabled: false, unreadable: 1 }), "unreadable");
});
