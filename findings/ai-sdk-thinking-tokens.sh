#!/usr/bin/env bash
# ai 6.0.326 with @ai-sdk/openai-compatible 2.0.92 (npm) reports fewer tokens than the response says.
#
# Expected: `totalTokens` is the `total_tokens` of the response. Google counts thinking there, but not in
#           `completion_tokens`: 17 asked, 2 answered and 30 thought make 49.
# Seen:     the total is computed anew from the other two: 19. The thinking, which is billed, is gone.
source "$(dirname "$0")/lib/setup.sh"
npm_install ai@6.0.326 @ai-sdk/openai-compatible@2.0.92
cat > run.mjs <<'EOF'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText } from 'ai';
import { check, done, json, serve } from './fake.mjs';

const server = await serve();
const provider = createOpenAICompatible({ name: 'google', apiKey: 'x', baseURL: server.url });
server.reply = json({
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 17, completion_tokens: 2, total_tokens: 49 },
});
const { usage } = await generateText({ model: provider('gemini-2.5-flash'), prompt: 'Hello' });
check('tokens', [usage.inputTokens, usage.outputTokens, usage.totalTokens], [17, 2, 19]);
done();
EOF
run node run.mjs
