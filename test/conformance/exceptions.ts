import type { Revision } from './suite.ts';

/** A check that fails, and why the specification allows it. */
export interface Exception {
  /** Both, when absent. */
  revision?: Revision;
  scenario: string;
  check: string;
  reason: string;
}

const OLDER: Revision = '2025-11-25';
const NEWER: Revision = '2026-07-28';

const noSampling =
  'clients offer sampling and roots (client/sampling, client/roots) and no server has to use them: a model is called by ' +
  'the worker, and what is asked is asked of a person';
const noCallsToClients =
  'a server of older revisions MAY work without sessions (basic/transports, session management), and then no response of a ' +
  'client can be told to belong to a request of the server; a run that asks is told to the model as such, or is a task';
const noLogging = 'the capability "logging" is optional (server/utilities/logging) and not declared';
const noCompletions =
  'the capability "completions" is optional (server/utilities/completion) and not declared';
const ownResources =
  'which resources there are is the server\'s matter (server/resources); here they are runs and threads, and none is "test://…"';
const noSubscribe =
  'the capability "subscribe" is optional (server/resources) and not declared to older clients: it takes a session';
const ownPromptNames =
  "names of prompts are the server's matter (server/prompts); here the graph's name comes first, so that those of two graphs never clash";
const textPrompts = 'messages of prompts MAY hold images and resources (server/prompts); here they are text';

/** One line for each: what is listed and does not fail is an error of this list. */
export const exceptions: Exception[] = [
  {
    revision: NEWER,
    scenario: 'server-stateless',
    check: 'sep-2575-server-rejects-undeclared-capability',
    reason: `it expects "sampling" among what is missing: ${noSampling}. That tasks are missing is told as it should be`,
  },
  { scenario: 'completion-complete', check: 'completion-complete', reason: noCompletions },
  { scenario: 'resources-read-text', check: 'resources-read-text', reason: ownResources },
  { scenario: 'resources-read-binary', check: 'resources-read-binary', reason: ownResources },
  { scenario: 'resources-templates-read', check: 'resources-templates-read', reason: ownResources },
  { scenario: 'prompts-get-simple', check: 'prompts-get-simple', reason: ownPromptNames },
  { scenario: 'prompts-get-with-args', check: 'prompts-get-with-args', reason: ownPromptNames },
  { scenario: 'prompts-get-embedded-resource', check: 'prompts-get-embedded-resource', reason: textPrompts },
  { scenario: 'prompts-get-with-image', check: 'prompts-get-with-image', reason: textPrompts },
  {
    revision: NEWER,
    scenario: 'input-required-result-basic-elicitation',
    check: 'sep-2322-elicitation-incomplete',
    reason:
      'it expects the key "user_name"; keys of inputRequests are chosen by the server (basic/patterns/mrtr), and ours name one question of one run',
  },
  {
    revision: NEWER,
    scenario: 'input-required-result-basic-sampling',
    check: 'sep-2322-sampling-incomplete',
    reason: noSampling,
  },
  {
    revision: NEWER,
    scenario: 'input-required-result-basic-list-roots',
    check: 'sep-2322-list-roots-incomplete',
    reason: noSampling,
  },
  {
    revision: NEWER,
    scenario: 'input-required-result-multiple-input-requests',
    check: 'sep-2322-multiple-inputs-incomplete',
    reason: `it expects sampling and roots beside a form: ${noSampling}`,
  },
  {
    revision: NEWER,
    scenario: 'input-required-result-capability-check',
    check: 'sep-2322-respect-client-capabilities',
    reason: `it expects sampling where forms are not declared: ${noSampling}`,
  },
  {
    revision: NEWER,
    scenario: 'input-required-result-non-tool-request',
    check: 'sep-2322-non-tool-incomplete',
    reason: 'a server MAY ask for input on prompts/get (basic/patterns/mrtr); no prompt here needs any',
  },
  ...['sep-2106-composition-keywords-preserved', 'sep-2106-conditional-keywords-preserved'].map((check) => ({
    revision: NEWER,
    scenario: 'json-schema-2020-12',
    check,
    reason:
      'not scored, and nothing is stripped: LangGraph makes the schema of a graph from its channels, which has no such keywords at its root',
  })),
  { revision: OLDER, scenario: 'logging-set-level', check: 'logging-set-level', reason: noLogging },
  {
    revision: OLDER,
    scenario: 'tools-call-with-logging',
    check: 'tools-call-with-logging',
    reason: noLogging,
  },
  {
    revision: OLDER,
    scenario: 'tools-call-sampling',
    check: 'tools-call-sampling',
    reason: noCallsToClients,
  },
  {
    revision: OLDER,
    scenario: 'tools-call-elicitation',
    check: 'tools-call-elicitation',
    reason: noCallsToClients,
  },
  {
    revision: OLDER,
    scenario: 'elicitation-sep1034-defaults',
    check: 'elicitation-sep1034-general',
    reason: noCallsToClients,
  },
  {
    revision: OLDER,
    scenario: 'elicitation-sep1330-enums',
    check: 'elicitation-sep1330-general',
    reason: noCallsToClients,
  },
  { revision: OLDER, scenario: 'resources-subscribe', check: 'resources-subscribe', reason: noSubscribe },
  { revision: OLDER, scenario: 'resources-unsubscribe', check: 'resources-unsubscribe', reason: noSubscribe },
];
