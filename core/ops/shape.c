/* Ops that give the same elements another shape, order or neighbours: reshape, flatten, stop_gradient,
 * transpose, concatenate. The first three move nothing. */
#include "ops/shape.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

static const cnn_param no_params[] = {{0}};

/* ---- what infer functions share ------------------------------------------------------------------------ */

void cnn_infer_like(cnn_op_info *info, const cnn_tensor *a) {
    info->rank = a->rank;
    memcpy(info->shape, a->shape, (size_t)a->rank * sizeof *a->shape);
    if (a->rank == 0) info->per_sample = false;
}

int64_t cnn_sizes_product(const cnn_tensor *a, int from, int to) {
    int64_t product = 1;
    for (int i = from; i < to; i++) product *= a->shape[i];
    return product;
}

int64_t cnn_sample_size(const cnn_tensor *a) {
    return cnn_sizes_product(a, 1, a->rank);
}

/* ---- aliases ------------------------------------------------------------------------------------------- */

static cnn_status move_nothing(const cnn_op_call *call) {
    (void)call;
    return CNN_OK;
}

static cnn_status does_not_fit(const cnn_reshape_op *a, const cnn_tensor *x) {
    char from[CNN_SHAPE_TEXT], to[CNN_SHAPE_TEXT];
    return cnn_fail(CNN_ERROR_SHAPE, "reshape: %s of shape %s does not fit into %s",
                    a->keep_batch ? "a sample" : "an input",
                    cnn_shape_text(from, sizeof from, x->rank - a->keep_batch, x->shape + a->keep_batch),
                    cnn_shape_text(to, sizeof to, a->target_shape.rank, a->target_shape.sizes));
}

/* Puts the size that makes `total` elements in the place of -1. An unknown total stays unknown. */
static cnn_status solve(const cnn_reshape_op *a, const cnn_tensor *x, int64_t total, int64_t *sizes) {
    int64_t known = 1;
    int unknown = -1;
    for (int i = 0; i < a->target_shape.rank; i++) {
        sizes[i] = a->target_shape.sizes[i];
        if (sizes[i] < -1 || (sizes[i] == -1 && unknown >= 0))
            return cnn_fail(CNN_ERROR_ARGUMENT, "reshape: sizes must be 0 or more, and one may be -1");
        if (sizes[i] == -1)
            unknown = i;
        else if (__builtin_mul_overflow(known, sizes[i], &known))
            return does_not_fit(a, x);
    }
    if (total < 0) return CNN_OK;
    if (unknown < 0) return known == total ? CNN_OK : does_not_fit(a, x);
    if (known == 0 || total % known) return does_not_fit(a, x);
    sizes[unknown] = total / known;
    return CNN_OK;
}

static cnn_status reshape_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                cnn_op_info *info) {
    (void)n_inputs;
    const cnn_reshape_op *a = attributes;
    const cnn_tensor *x = inputs[0];
    int kept = a->keep_batch ? 1 : 0;
    if (x->rank < kept) return cnn_fail(CNN_ERROR_SHAPE, "reshape: a scalar has no samples");
    if (a->target_shape.rank + kept > CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "reshape: at most %d axes, got %d", CNN_MAX_RANK,
                        a->target_shape.rank + kept);
    CNN_TRY(solve(a, x, kept ? cnn_sample_size(x) : x->size, info->shape + kept));
    info->rank = a->target_shape.rank + kept;
    if (kept) info->shape[0] = x->shape[0];
    info->per_sample = info->rank > 0 && x->rank > 0 && info->shape[0] == x->shape[0];
    info->dtype = x->dtype;
    return CNN_OK;
}

static const cnn_param reshape_params[] = {
    CNN_PARAM(SHAPE, cnn_reshape_op, target_shape, NULL,
              .help = "the sizes of a sample; one may be -1, for what remains"),
    CNN_PARAM(BOOL, cnn_reshape_op, keep_batch, "true",
              .help = "keep the first axis; otherwise target_shape gives all axes"),
    {0}};

/* The same elements in another shape: x [N,…] to [N,target_shape…]. */
const cnn_op cnn_op_reshape = {.class = CNN_CLASS("op", "reshape", NULL, cnn_reshape_op, reshape_params),
                               .min_inputs = 1,
                               .max_inputs = 1,
                               .per_sample = true,
                               .alias = true,
                               .any_dtype = 1u << 0,
                               .infer = reshape_infer,
                               .forward = move_nothing,
                               .backward = move_nothing};

static cnn_status flatten_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    const cnn_tensor *x = inputs[0];
    if (x->rank == 0) return cnn_fail(CNN_ERROR_SHAPE, "flatten: expected an input [N,…], got a scalar");
    info->rank = 2;
    info->shape[0] = x->shape[0];
    info->shape[1] = cnn_sample_size(x);
    info->dtype = x->dtype;
    return CNN_OK;
}

/* Each sample as one row: x [N,…] to [N, product of the others]. */
const cnn_op cnn_op_flatten = {.class = CNN_CLASS("op", "flatten", NULL, cnn_plain_op, no_params),
                               .min_inputs = 1,
                               .max_inputs = 1,
                               .per_sample = true,
                               .alias = true,
                               .any_dtype = 1u << 0,
                               .infer = flatten_infer,
                               .forward = move_nothing,
                               .backward = move_nothing};

static cnn_status same_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                             cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    cnn_infer_like(info, inputs[0]);
    info->dtype = inputs[0]->dtype;
    return CNN_OK;
}

/* x as it is, through which no gradient passes. */
const cnn_op cnn_op_stop_gradient = {.class = CNN_CLASS("op", "stop_gradient", NULL, cnn_plain_op, no_params),
                                     .min_inputs = 1,
                                     .max_inputs = 1,
                                     .per_sample = true,
                                     .alias = true,
                                     .constant = 1u << 0,
                                     .infer = same_infer,
                                     .forward = move_nothing};

/* The same tensor under a name of its own. */
const cnn_op cnn_op_identity = {.class = CNN_CLASS("op", "identity", "linear", cnn_plain_op, no_params),
                                .min_inputs = 1,
                                .max_inputs = 1,
                                .per_sample = true,
                                .alias = true,
                                .any_dtype = 1u << 0,
                                .infer = same_infer,
                                .forward = move_nothing,
                                .backward = move_nothing};

/* ---- transpose ----------------------------------------------------------------------------------------- */

/* The axes as a permutation: given or reversed, counted from 0. */
static cnn_status permutation(const cnn_transpose_op *a, int rank, int *axes) {
    char text[CNN_SHAPE_TEXT];
    unsigned seen = 0;
    for (int i = 0; i < rank; i++) {
        int64_t axis = a->axes.rank < 0 ? rank - 1 - i : i < a->axes.rank ? a->axes.sizes[i] : INT32_MAX;
        if (axis < 0) axis += rank;
        if (axis < 0 || axis >= rank || a->axes.rank > rank || (seen >> axis & 1))
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "transpose: axes %s are not a permutation of the %d axes of the input",
                            cnn_shape_text(text, sizeof text, a->axes.rank, a->axes.sizes), rank);
        axes[i] = (int)axis;
        seen |= 1u << axis;
    }
    return CNN_OK;
}

static cnn_status transpose_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                  cnn_op_info *info) {
    (void)n_inputs;
    int axes[CNN_MAX_RANK];
    CNN_TRY(permutation(attributes, inputs[0]->rank, axes));
    info->rank = inputs[0]->rank;
    for (int i = 0; i < info->rank; i++) info->shape[i] = inputs[0]->shape[axes[i]];
    info->per_sample = info->rank > 0 && axes[0] == 0;
    return CNN_OK;
}

static cnn_status transpose_forward(const cnn_op_call *call) {
    int axes[CNN_MAX_RANK];
    CNN_TRY(permutation(call->attributes, call->inputs[0]->rank, axes));
    cnn_transpose_into(call->output, call->inputs[0], axes);
    return CNN_OK;
}

static cnn_status transpose_backward(const cnn_op_call *call) {
    int axes[CNN_MAX_RANK], inverse[CNN_MAX_RANK];
    CNN_TRY(permutation(call->attributes, call->inputs[0]->rank, axes));
    for (int i = 0; i < call->inputs[0]->rank; i++) inverse[axes[i]] = i;
    if (call->grad_inputs[0]) cnn_transpose_into(call->grad_inputs[0], call->grad_output, inverse);
    return CNN_OK;
}

static const cnn_param transpose_params[] = {
    CNN_PARAM(SHAPE, cnn_transpose_op, axes, "null",
              .help = "for each axis of the output, which of the input it is, from 0; null reverses them"),
    {0}};

const cnn_op cnn_op_transpose = {
    .class = CNN_CLASS("op", "transpose", "permute", cnn_transpose_op, transpose_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .per_sample = true,
    .self_parallel = true,
    .infer = transpose_infer,
    .forward = transpose_forward,
    .backward = transpose_backward};

/* ---- concatenate --------------------------------------------------------------------------------------- */

static cnn_status concatenate_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                                    cnn_op_info *info) {
    int axis;
    CNN_TRY(cnn_normalize_axis("concatenate", ((const cnn_concatenate *)attributes)->axis, inputs[0]->rank,
                               &axis));
    cnn_infer_like(info, inputs[0]);
    for (int k = 1; k < n_inputs; k++) {
        bool fits = inputs[k]->rank == info->rank;
        for (int i = 0; fits && i < info->rank; i++)
            fits = i == axis || inputs[k]->shape[i] == info->shape[i];
        if (!fits) {
            char first[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
            return cnn_fail(CNN_ERROR_SHAPE, "concatenate: shapes %s and %s (input %d) differ beside axis %d",
                            cnn_shape_text(first, sizeof first, inputs[0]->rank, inputs[0]->shape),
                            cnn_shape_text(other, sizeof other, inputs[k]->rank, inputs[k]->shape), k + 1,
                            axis);
        }
        bool known = info->shape[axis] >= 0 && inputs[k]->shape[axis] >= 0;
        info->shape[axis] = known ? info->shape[axis] + inputs[k]->shape[axis] : -1;
    }
    info->per_sample = axis != 0;
    return CNN_OK;
}

static cnn_status concatenate_forward(const cnn_op_call *call) {
    int axis;
    CNN_TRY(cnn_normalize_axis("concatenate", ((const cnn_concatenate *)call->attributes)->axis,
                               call->output->rank, &axis));
    cnn_concat_into(call->output, call->inputs, call->n_inputs, axis);
    return CNN_OK;
}

static cnn_status concatenate_backward(const cnn_op_call *call) {
    int axis;
    CNN_TRY(cnn_normalize_axis("concatenate", ((const cnn_concatenate *)call->attributes)->axis,
                               call->grad_output->rank, &axis));
    int64_t from[CNN_MAX_RANK] = {0}, step[CNN_MAX_RANK];
    for (int i = 0; i < CNN_MAX_RANK; i++) step[i] = 1;
    for (int k = 0; k < call->n_inputs; k++) {
        if (call->grad_inputs[k]) cnn_slice_into(call->grad_inputs[k], call->grad_output, from, step);
        from[axis] += call->inputs[k]->shape[axis];
    }
    return CNN_OK;
}

static const cnn_param concatenate_params[] = {
    CNN_PARAM(INT, cnn_concatenate, axis, "-1", .help = "the axis along which the inputs follow one another"),
    {0}};

/* The inputs one after the other along an axis; other sizes are equal. */
const cnn_op cnn_op_concatenate = {
    .class = CNN_CLASS("op", "concatenate", "concat", cnn_concatenate, concatenate_params),
    .min_inputs = 1,
    .max_inputs = 64,
    .per_sample = true,
    .self_parallel = true,
    .infer = concatenate_infer,
    .forward = concatenate_forward,
    .backward = concatenate_backward};
