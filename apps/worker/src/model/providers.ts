/** What the resolver must know of a provider beyond what LangChain's own table says. */
export interface ProviderFacts {
  /** Environment variables that hold its key; one of them is enough. Empty: it needs none, or finds it in other ways. */
  keys: readonly string[];
  /** Constructor fields that point it at another server; absent: the provider has no such setting. */
  baseUrl?: (url: string) => Record<string, unknown>;
  /** Constructor field for the longest answer, in tokens; `maxTokens` unless told. */
  maxTokensField?: string;
}

const UNKNOWN: ProviderFacts = { keys: [] };

const FACTS: Readonly<Record<string, ProviderFacts>> = {
  openai: { keys: ['OPENAI_API_KEY'], baseUrl: (url) => ({ configuration: { baseURL: url } }) },
  azure_openai: { keys: ['AZURE_OPENAI_API_KEY'] },
  anthropic: { keys: ['ANTHROPIC_API_KEY'], baseUrl: (url) => ({ anthropicApiUrl: url }) },
  google: { keys: ['GOOGLE_API_KEY', 'GEMINI_API_KEY'], maxTokensField: 'maxOutputTokens' },
  'google-genai': {
    keys: ['GOOGLE_API_KEY'],
    baseUrl: (url) => ({ baseUrl: url }),
    maxTokensField: 'maxOutputTokens',
  },
  'google-vertexai': { keys: [], maxTokensField: 'maxOutputTokens' },
  'google-vertexai-web': { keys: [], maxTokensField: 'maxOutputTokens' },
  mistralai: { keys: ['MISTRAL_API_KEY'], baseUrl: (url) => ({ serverURL: url }) },
  mistral: { keys: ['MISTRAL_API_KEY'], baseUrl: (url) => ({ serverURL: url }) },
  groq: { keys: ['GROQ_API_KEY'], baseUrl: (url) => ({ baseUrl: url }) },
  cohere: { keys: ['COHERE_API_KEY'] },
  deepseek: { keys: ['DEEPSEEK_API_KEY'], baseUrl: (url) => ({ configuration: { baseURL: url } }) },
  xai: { keys: ['XAI_API_KEY'] },
  cerebras: { keys: ['CEREBRAS_API_KEY'] },
  fireworks: { keys: ['FIREWORKS_API_KEY'] },
  together: { keys: ['TOGETHER_AI_API_KEY'] },
  perplexity: { keys: ['PERPLEXITY_API_KEY'] },
  ollama: { keys: [], baseUrl: (url) => ({ baseUrl: url }), maxTokensField: 'numPredict' },
};

/** Facts of a provider in LangChain's spelling (`openai`, `google-genai`); unknown ones get no checks. */
export function providerFacts(provider: string): ProviderFacts {
  return FACTS[provider] ?? UNKNOWN;
}

/** Providers that MODEL_BASE_URL works with. */
export function providersWithBaseUrl(): string[] {
  return Object.keys(FACTS).filter((name) => FACTS[name]?.baseUrl !== undefined);
}
