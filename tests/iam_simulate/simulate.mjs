// Answers one line of JSON per call: what iam-simulate decides. Copied beside the package's installation.
import { createInterface } from 'node:readline'
import { runSimulation } from '@cloud-copilot/iam-simulate'

for await (const line of createInterface({ input: process.stdin })) {
  const { role, account, action, resource, context, policies } = JSON.parse(line)
  const simulation = {
    request: { principal: role, action, resource: { resource, accountId: account }, contextVariables: context },
    identityPolicies: policies.map((policy, number) => ({ name: `policy-${number}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
  }
  const answer = await runSimulation(simulation, {})
  console.log(JSON.stringify(answer.resultType === 'error' ? answer.errors?.message ?? 'error' : answer.overallResult))
}
