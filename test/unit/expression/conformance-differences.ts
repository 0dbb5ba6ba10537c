/**
 * Where Ouzel's expressions differ from the published CEL conformance cases, and why. `*` stands for any part of a
 * name. A declared case that passes fails the test: the list can only get shorter.
 */

export interface Difference {
  readonly reason: string;
  /** `file/section/name` */
  readonly cases: readonly string[];
}

export const DIFFERENCES: readonly Difference[] = [
  {
    reason: 'protobuf messages, wrappers and enumerations are not part of Ouzel: events are JSON',
    cases: [
      'proto2/*',
      'proto2_ext/*',
      'proto3/*',
      'dynamic/*',
      'enums/*',
      'wrappers/*',
      'comparisons/eq_wrapper/*',
      'comparisons/eq_literal/*_json_null',
      'comparisons/eq_literal/*_msg_null',
      'comparisons/ne_literal/ne_proto*',
      'optionals/optionals/*struct*',
      'parse/nest/message_literal',
      'parse/repeat/select',
      'parse/repeat/message_literal',
      'parse/whitespace/*',
      'parse/comments/*',
      'parse/struct_field_names/*',
      'type_deductions/complex_initializers/struct',
      'type_deductions/field_access/*',
    ],
  },
  {
    reason: 'static types are not deduced: values have types, expressions have not (`check_only` cases)',
    cases: [
      'type_deductions/functions/function_result_type',
      'type_deductions/flexible_type_parameter_assignment/*',
      'type_deductions/wrappers/*',
      'type_deductions/type_parameters/*',
      'type_deductions/legacy_nullable_types/*',
    ],
  },
  {
    reason:
      'an extension library that is not part of Ouzel (`round`, `abs`, `lower` and others are there without their prefix)',
    cases: [
      'math_ext/*',
      'block_ext/*',
      'encoders_ext/*',
      'string_ext/char_at/*',
      'string_ext/*_errors/charat_*',
      'string_ext/*_errors/lastindexof_*',
      'string_ext/last_index_of/*',
      'string_ext/ascii_casing/*',
      'string_ext/quote/*',
      'string_ext/format/*',
      'string_ext/format_errors/*',
    ],
  },
  {
    reason: 'int, uint and double are one number type',
    cases: [
      'conversions/type/uint',
      'conversions/type/eq_diff',
      'conversions/type/neq_diff',
      'fp_math/fp_math/mod_not_support',
      'integer_math/int64_math/unary_minus_no_overload',
      'integer_math/uint64_math/negative_no_overload',
      'integer_math/int64_math/uint64_overflow_negative',
    ],
  },
  {
    reason: 'whole numbers are exact beyond 64 bits instead of overflowing, and compare exactly with doubles',
    cases: [
      'integer_math/int64_math/int64_overflow_*',
      'integer_math/int64_math/int64_min_negate*',
      'integer_math/int64_math/uint64_overflow_positive',
      'integer_math/int64_math/uint64_overflow_mul_positive',
      'comparisons/lt_literal/not_lt_dyn_int_big_lossy_double',
      'comparisons/gt_literal/not_gt_dyn_big_double_int',
      'comparisons/lte_literal/lte_dyn_big_double_int',
      'comparisons/gte_literal/gte_dyn_int_big_lossy_double',
    ],
  },
  {
    reason: 'there is no NaN and no infinity: JSON has no such numbers, so division by zero and overflow are faults',
    cases: [
      'comparisons/*/*_nan',
      'fp_math/fp_math/divide_zero',
      'fp_math/fp_math/fp_overflow_positive',
      'fp_math/fp_math/fp_overflow_negative',
    ],
  },
  {
    reason: 'unknown names are found when the configuration is loaded, not when an event comes',
    cases: [
      'basic/variables/unbound_is_runtime_error',
      'basic/functions/unbound_is_runtime_error',
      'parse/receiver_function_names/*',
    ],
  },
  {
    reason: 'no containers and no variables with dots in their names: the variables are those of Ouzel',
    cases: ['namespace/*', 'fields/qualified_identifier_resolution/*'],
  },
  {
    reason:
      'not in the grammar of the parser: backquoted fields, optional elements, raw bytes, numbers that start with a dot',
    cases: [
      'fields/quoted_map_fields/*',
      'optionals/optionals/optional_chaining_12',
      'optionals/optionals/optional_chaining_13',
      'optionals/optionals/optional_chaining_14',
      'optionals/optionals/optional_chaining_15',
      'optionals/optionals/optional_chaining_16',
      'optionals/optionals/map_optional_entry_has',
      'parse/bytes_literals/*raw_*',
      'comparisons/gt_literal/not_gt_double',
    ],
  },
  {
    reason: 'a field of null or of a scalar is absent, so that `.?` answers an empty optional',
    cases: ['optionals/optionals/map_null_entry_no_such_key', 'optionals/optionals/map_present_key_invalid_field'],
  },
  {
    reason: 'durations reach as far as timestamps do (10,000 years), not 292 years',
    cases: ['timestamps/timestamp_range/sub_time_duration_over', 'timestamps/timestamp_range/sub_time_duration_under'],
  },
];
