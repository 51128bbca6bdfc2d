// k6 run -e URL=https://millrace.example.com -e KEY=… [-e PLAN=ramp|light|medium|heavy] deploy/load/message.k6.js
import { check, sleep } from 'k6';
import http from 'k6/http';

const env = __ENV;
const plans = JSON.parse(open('./plans.json'));
const plan = plans[env.PLAN || 'ramp'];
if (!plan) throw new Error(`PLAN must be one of ${Object.keys(plans).join(', ')}`);

export const options = {
  scenarios: {
    message: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: plan.map(({ users, over }) => ({ target: users, duration: over })),
    },
  },
  thresholds: {
    checks: ['rate>0.99'],
    http_req_duration: ['p(95)<2000'],
  },
};

export default function () {
  const answer = http.post(
    `${env.URL || 'http://127.0.0.1:2024'}/message`,
    JSON.stringify({ query: 'What is the capital of France?' }),
    { headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${env.KEY || ''}` } },
  );
  check(answer, {
    'is answered 200': ({ status }) => status === 200,
    'within 2 s': ({ timings }) => timings.duration < 2000,
  });
  sleep(1);
}
