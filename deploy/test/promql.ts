import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';

/** One use of a metric in a query. */
export interface Selector {
  metric: string;
  /** Labels it is filtered by. */
  labels: string[];
  /** Functions around it, the innermost first. */
  functions: string[];
  /** Labels that the aggregations around it keep (`by`) or that it is joined on. */
  grouping: string[];
}

/** @throws Error that shows where a query is not PromQL */
export function selectorsOf(query: string): Selector[] {
  const text = (node: SyntaxNode) => query.slice(node.from, node.to);
  const found: Selector[] = [];
  parser.parse(query).iterate({
    enter(ref) {
      const { node } = ref;
      if (node.type.isError) {
        const at = `${query.slice(0, node.from)}⟨here⟩${query.slice(node.from)}`;
        throw new Error(`not PromQL: ${at}`);
      }
      if (node.name !== 'VectorSelector') return;
      const identifier = node.getChild('Identifier');
      if (!identifier) throw new Error(`a selector without a name in ${query}`);
      const labels = all(node, 'LabelMatchers', 'UnquotedLabelMatcher').map((one) =>
        text(one.getChild('LabelName') ?? one),
      );
      const functions: string[] = [];
      const grouping: string[] = [];
      for (let up = node.parent; up; up = up.parent) {
        if (up.name === 'FunctionCall') functions.push(text(up.getChild('FunctionIdentifier') ?? up));
        const clause = up.getChild('AggregateModifier') ?? up.getChild('MatchingModifierClause');
        for (const name of clause ? all(clause, 'GroupingLabels', 'LabelName') : [])
          grouping.push(text(name));
      }
      found.push({ metric: text(identifier), labels, functions, grouping });
    },
  });
  if (found.length === 0) throw new Error(`no metric in ${query}`);
  return found;
}

function all(node: SyntaxNode, group: string, name: string): SyntaxNode[] {
  return node.getChildren(group).flatMap((one) => one.getChildren(name));
}
