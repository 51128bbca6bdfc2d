import { describe, expect, it } from 'vitest';
import { DemoModel } from './demo-model.ts';
import { describeModel, type ModelOptions, ModelSetupError, resolveModel } from './resolve-model.ts';

const nothing: ModelOptions = { hasVariable: () => false };

describe('resolveModel', () => {
  it('takes the demo model when nothing is named, but not in production', async () => {
    expect(await resolveModel(nothing)).toBeInstanceOf(DemoModel);
    expect(await resolveModel({ ...nothing, model: ' ' })).toBeInstanceOf(DemoModel);
    expect(await resolveModel({ ...nothing, nodeEnv: 'production', model: 'demo' })).toBeInstanceOf(
      DemoModel,
    );
    await expect(resolveModel({ ...nothing, nodeEnv: 'production' })).rejects.toThrow(/MODEL is not set/);
  });

  it.each([
    [{ model: 'gpt-5-mini' }, /MODEL=gpt-5-mini is not of the form provider:name/],
    [{ model: 'openai:' }, /not of the form provider:name/],
    [{ model: 'acme:large' }, /unknown provider "acme".*MODEL_BASE_URL/],
    [{ model: 'toString:x' }, /unknown provider "toString"/],
    [{ model: 'openai:gpt-5-mini' }, /needs an API key: set OPENAI_API_KEY, or MODEL_BASE_URL/],
    [{ model: 'anthropic:claude-sonnet-4-5' }, /needs an API key: set ANTHROPIC_API_KEY\.$/],
    [{ model: 'openai:x', baseUrl: 'localhost' }, /MODEL_BASE_URL is not a URL/],
  ])('says what is wrong with %o', async (options, message) => {
    const making = resolveModel({ ...nothing, ...options });
    await expect(making).rejects.toThrow(message);
    await expect(making).rejects.toBeInstanceOf(ModelSetupError);
  });

  it('says what to install', async () => {
    await expect(
      resolveModel({ model: 'perplexity:sonar', hasVariable: (name) => name === 'PERPLEXITY_API_KEY' }),
    ).rejects.toThrow(/not installed\. Run: npm install @langchain\/perplexity/);
  });
});

describe('describeModel', () => {
  it('names the model and its server, without credentials', () => {
    expect(describeModel({})).toMatch(/^demo model/);
    expect(describeModel({ model: 'openai:llama3', baseUrl: 'http://me:secret@host:1/v1?key=x' })).toBe(
      'openai:llama3 at http://host:1/v1',
    );
  });
});
