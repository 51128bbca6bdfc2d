import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import { MODEL_PROVIDER_CONFIG } from 'langchain/chat_models/universal';
import { DemoModel } from './demo-model.ts';
import { type ModelLimits, withLimits } from './limits.ts';
import { type ProviderFacts, providerFacts, providersWithBaseUrl } from './providers.ts';

/** Which model the built-in graph uses. */
export interface ModelOptions {
  /** `provider:name` as LangChain spells it (`openai:gpt-5-mini`), or `demo`. Without it: the demo model. */
  model?: string | undefined;
  /** Another server that speaks the provider's API, for example `http://localhost:11434/v1`. */
  baseUrl?: string | undefined;
  /** Seconds that a model may stay silent: until its first token and between tokens. 60 unless told. */
  timeoutSeconds?: number | undefined;
  /** Tokens in one answer at most; 4096 unless told. */
  maxTokens?: number | undefined;
  /** Whether answers may come from the cache of runs. */
  cache?: boolean | undefined;
  /** `production` forbids choosing the demo model by leaving `model` out. */
  nodeEnv?: string | undefined;
  /** Milliseconds before each token of the demo model; 0 unless told. */
  demoTokenDelayMs?: number | undefined;
  /** Whether an environment variable has a value. Provider packages read their keys from the environment themselves. */
  hasVariable: (name: string) => boolean;
  /** Overrides of the limits that follow from `timeoutSeconds`. */
  limits?: Partial<ModelLimits> | undefined;
}

/** Why no model can be made from the settings; `message` says what to set or to install. */
export class ModelSetupError extends Error {
  override readonly name = 'ModelSetupError';
}

const PROVIDERS: Readonly<Record<string, { package: string; className: string }>> = MODEL_PROVIDER_CONFIG;

/**
 * Makes the chat model that the settings name, with retries, timeouts and a token limit.
 * @throws {ModelSetupError} when the settings name no usable model; nothing has been called over the network.
 */
export async function resolveModel(options: ModelOptions): Promise<BaseChatModel> {
  if (chosen(options) === 'demo') {
    return new DemoModel({ tokenDelayMs: options.demoTokenDelayMs ?? 0, cache: options.cache ?? false });
  }
  const { provider, name } = splitModel(chosen(options));
  const facts = providerFacts(provider);
  checkKey(provider, facts, options);
  const Model = await importProvider(provider);
  const silenceMs = (options.timeoutSeconds ?? 60) * 1_000;
  const fields: Record<string, unknown> = {
    model: name,
    // Retries happen in one layer only: ours (see limits.ts), which every provider shares.
    maxRetries: 0,
    cache: options.cache ?? false,
    [facts.maxTokensField ?? 'maxTokens']: options.maxTokens ?? 4_096,
    ...baseUrlFields(provider, facts, options),
  };
  // OpenAI's client gives up after ten minutes by itself, whatever longer time has been asked for.
  if (provider === 'openai') fields.timeout = silenceMs + 1_000;
  let model: BaseChatModel;
  try {
    model = new Model(fields);
  } catch (error) {
    throw new ModelSetupError(`MODEL=${options.model} cannot be used: ${messageOf(error)}`, { cause: error });
  }
  return withLimits(model, { silenceMs, totalMs: silenceMs * 10, ...options.limits });
}

/** Whether the settings choose the demo model. */
export function isDemoModel(options: Pick<ModelOptions, 'model'>): boolean {
  return (options.model?.trim() || 'demo') === 'demo';
}

/** One line for the log: which model, where. Never contains a key or a password. */
export function describeModel(options: Pick<ModelOptions, 'model' | 'baseUrl'>): string {
  if (isDemoModel(options)) return 'demo model (fixed rules, no AI; set MODEL=provider:name for a real one)';
  const at = options.baseUrl === undefined ? '' : ` at ${withoutCredentials(options.baseUrl)}`;
  return `${options.model?.trim()}${at}`;
}

function chosen(options: ModelOptions): string {
  const model = options.model?.trim();
  if (model) return model;
  if (options.nodeEnv === 'production') {
    throw new ModelSetupError(
      'MODEL is not set. In production name a model, for example MODEL=openai:gpt-5-mini with OPENAI_API_KEY; ' +
        'MODEL=demo takes the demo model on purpose.',
    );
  }
  return 'demo';
}

function splitModel(model: string): { provider: string; name: string } {
  const colon = model.indexOf(':');
  const provider = model.slice(0, Math.max(colon, 0));
  const name = model.slice(colon + 1).trim();
  if (colon < 1 || name === '') {
    throw new ModelSetupError(
      `MODEL=${model} is not of the form provider:name, for example openai:gpt-5-mini or anthropic:claude-sonnet-4-5.`,
    );
  }
  if (!Object.hasOwn(PROVIDERS, provider)) {
    throw new ModelSetupError(
      `MODEL=${model} names an unknown provider "${provider}". Known: ${Object.keys(PROVIDERS).join(', ')}. ` +
        'For another server that speaks the OpenAI API use MODEL=openai:<name> with MODEL_BASE_URL.',
    );
  }
  return { provider, name };
}

function checkKey(provider: string, facts: ProviderFacts, options: ModelOptions): void {
  // A server of one's own often needs no key.
  if (options.baseUrl !== undefined) return;
  if (facts.keys.length === 0 || facts.keys.some(options.hasVariable)) return;
  throw new ModelSetupError(
    `MODEL=${options.model?.trim()} needs an API key: set ${facts.keys.join(' or ')}` +
      (provider === 'openai' ? ', or MODEL_BASE_URL for a server that needs none.' : '.'),
  );
}

function baseUrlFields(
  provider: string,
  facts: ProviderFacts,
  options: ModelOptions,
): Record<string, unknown> {
  if (options.baseUrl === undefined) return {};
  if (!URL.canParse(options.baseUrl)) {
    throw new ModelSetupError('MODEL_BASE_URL is not a URL; it looks like http://localhost:11434/v1.');
  }
  if (facts.baseUrl === undefined) {
    throw new ModelSetupError(
      `MODEL_BASE_URL cannot be used with the provider "${provider}"; it works with ${providersWithBaseUrl().join(', ')}.`,
    );
  }
  const keyless = facts.keys.length > 0 && !facts.keys.some(options.hasVariable);
  // The clients insist on some key, and such servers ignore it.
  return { ...facts.baseUrl(options.baseUrl), ...(keyless ? { apiKey: 'none' } : {}) };
}

/**
 * Imports a provider's class from this package, with LangChain's own table of names. Not through `initChatModel`: that
 * resolves packages from inside `langchain`, which under pnpm does not see what the worker has installed, and wraps
 * the model in one that lets any caller's `configurable` change the model and caches one instance per config.
 */
async function importProvider(provider: string): Promise<new (fields: unknown) => BaseChatModel> {
  const entry = PROVIDERS[provider];
  if (entry === undefined) throw new ModelSetupError(`Unknown provider "${provider}".`);
  let exported: Record<string, unknown>;
  try {
    exported = (await import(entry.package)) as Record<string, unknown>;
  } catch (error) {
    if (isNotFound(error, entry.package)) {
      throw new ModelSetupError(
        `The provider "${provider}" needs the package ${entry.package}, which is not installed. ` +
          `Run: npm install ${entry.package} (in this repository: pnpm --filter @millrace/worker add ${entry.package})`,
      );
    }
    throw new ModelSetupError(`${entry.package} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
  const Model = exported[entry.className];
  if (typeof Model !== 'function') {
    throw new ModelSetupError(`${entry.package} has no ${entry.className}; install its current version.`);
  }
  return Model as new (
    fields: unknown,
  ) => BaseChatModel;
}

function isNotFound(error: unknown, name: string): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return (
    (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && messageOf(error).includes(`'${name}'`)
  );
}

function withoutCredentials(url: string): string {
  if (!URL.canParse(url)) return '(not a URL)';
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
