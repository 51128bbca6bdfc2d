import { type Manifest, nameOf } from './kustomize.ts';
import { workloads } from './pods.ts';

/** Where a Pod would be refused in a namespace with the restricted Pod Security Standard, or asks for more than it needs. */
export function securityProblems(objects: Manifest[]): string[] {
  return workloads(objects).flatMap(({ object, pod, containers }) => {
    const problems: string[] = [];
    const told = (text: string) => problems.push(`${nameOf(object)} ${text}`);
    const { runAsNonRoot, runAsUser, seccompProfile } = pod.securityContext ?? {};
    if (runAsNonRoot !== true || !(runAsUser > 0)) told('may run as root');
    if (seccompProfile?.type !== 'RuntimeDefault') told('has no seccomp profile');
    for (const { name, securityContext = {}, resources, image } of containers) {
      if (securityContext.allowPrivilegeEscalation !== false) told(`${name} may gain privileges`);
      if (securityContext.capabilities?.drop?.join() !== 'ALL') told(`${name} keeps capabilities`);
      if (securityContext.readOnlyRootFilesystem !== true) told(`${name} may write to its image`);
      for (const kind of ['requests', 'limits'] as const) {
        for (const what of ['cpu', 'memory'])
          if (!resources?.[kind]?.[what]) told(`${name} has no ${what} in ${kind}`);
      }
      if (!/:[\w.-]+$/.test(image)) told(`${name} has an image without a tag`);
    }
    return problems;
  });
}
