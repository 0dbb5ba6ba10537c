/**
 * The tree of an expression, in our own words: the library's nodes without its evaluator. Positions are offsets in
 * the source (of the template, where the expression stands in one).
 */

interface Span {
  readonly start: number;
  readonly end: number;
}

export interface LiteralNode extends Span {
  readonly kind: 'literal';
  readonly value: unknown;
}
export interface NameNode extends Span {
  readonly kind: 'name';
  readonly name: string;
}
export interface SelectNode extends Span {
  readonly kind: 'select';
  readonly target: Node;
  readonly field: string;
  readonly fieldStart: number;
  /** `target.?field` */
  readonly optional: boolean;
}
export interface IndexNode extends Span {
  readonly kind: 'index';
  readonly target: Node;
  readonly index: Node;
  /** `target[?index]` */
  readonly optional: boolean;
}
export interface CallNode extends Span {
  readonly kind: 'call';
  readonly name: string;
  readonly nameStart: number;
  /** The receiver of a method. */
  readonly target: Node | undefined;
  readonly args: readonly Node[];
}
export interface ListNode extends Span {
  readonly kind: 'list';
  readonly items: readonly Node[];
}
export interface MapNode extends Span {
  readonly kind: 'map';
  readonly entries: readonly (readonly [key: Node, value: Node])[];
}
export interface ConditionalNode extends Span {
  readonly kind: 'conditional';
  readonly condition: Node;
  readonly yes: Node;
  readonly no: Node;
}
/** A chain of `&&` or of `||`, flat: `explain` names the clause that decided. */
export interface LogicNode extends Span {
  readonly kind: 'and' | 'or';
  readonly clauses: readonly Node[];
}
export interface UnaryNode extends Span {
  readonly kind: 'not' | 'negate';
  readonly operand: Node;
}
export interface BinaryNode extends Span {
  readonly kind: 'binary';
  readonly operator: BinaryOperator;
  readonly left: Node;
  readonly right: Node;
}

export type Relation = '<' | '<=' | '>' | '>=';
export type Arithmetic = '+' | '-' | '*' | '/' | '%';
export type BinaryOperator = Relation | Arithmetic | '==' | '!=' | 'in';

export type Node =
  | LiteralNode
  | NameNode
  | SelectNode
  | IndexNode
  | CallNode
  | ListNode
  | MapNode
  | ConditionalNode
  | LogicNode
  | UnaryNode
  | BinaryNode;
