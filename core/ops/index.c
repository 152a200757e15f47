/* Ops that pick elements by their positions, or place them: slice, gather, pad, stack. */
#include "ops/index.h"
#include "ops/shape.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"
#include "tensor/rows.h"

#include <string.h>

/* The adjoint of cnn_slice_into: writes source into the block of a. */
static void write_block(cnn_tensor *a, const int64_t *from, const int64_t *step, const cnn_tensor *source) {
    int64_t to[CNN_MAX_RANK], in[CNN_MAX_RANK], offset = 0;
    if (source->size == 0) return;
    cnn_strides(a->rank, a->shape, to);
    cnn_strides(a->rank, source->shape, in);
    for (int i = 0; i < a->rank; i++) {
        offset += from[i] * to[i];
        to[i] *= step[i];
    }
    cnn_copy_strided(sizeof(float), a->rank, source->shape, cnn_f32(a) + offset, to, source->data, in);
}

/* ---- slice --------------------------------------------------------------------------------------------- */

static int64_t given(const cnn_shape *list, int axis, int64_t fallback) {
    return list->rank < 0 ? fallback : list->sizes[axis];
}

static cnn_status check_lengths(const cnn_slice_op *a, const cnn_tensor *x) {
    const cnn_shape *lists[] = {&a->from, &a->to, &a->step};
    static const char *const names[] = {"from", "to", "step"};
    for (int i = 0; i < 3; i++)
        if (lists[i]->rank >= 0 && lists[i]->rank != x->rank)
            return cnn_fail(CNN_ERROR_ARGUMENT, "slice: '%s' has %d numbers for the %d axes of the input",
                            names[i], lists[i]->rank, x->rank);
    return CNN_OK;
}

static cnn_status slice_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                              cnn_op_info *info) {
    (void)n_inputs;
    const cnn_slice_op *a = attributes;
    const cnn_tensor *x = inputs[0];
    char shape[CNN_SHAPE_TEXT];
    CNN_TRY(check_lengths(a, x));
    cnn_infer_like(info, x);
    info->dtype = x->dtype;
    for (int i = 0; i < x->rank; i++) {
        int64_t from = given(&a->from, i, 0), to = given(&a->to, i, -1), step = given(&a->step, i, 1);
        bool all = from == 0 && step == 1 && (to == -1 || to == x->shape[i]);
        if (all) continue;
        if (i == 0) info->per_sample = false;
        if (x->shape[i] < 0)
            return cnn_fail(CNN_ERROR_SHAPE, "slice: axis %d, whose size is not known yet, can't be cut", i);
        if (to == -1) to = x->shape[i];
        if (from < 0 || from > x->shape[i] || to < 0 || to > x->shape[i] || step < 1)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "slice: %lld to %lld by %lld is not within axis %d of shape %s", (long long)from,
                            (long long)to, (long long)step, i,
                            cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
        info->shape[i] = to > from ? (to - from + step - 1) / step : 0;
    }
    return CNN_OK;
}

static void block_of(const cnn_slice_op *a, int rank, int64_t *from, int64_t *step) {
    for (int i = 0; i < rank; i++) {
        from[i] = given(&a->from, i, 0);
        step[i] = given(&a->step, i, 1);
    }
}

static cnn_status slice_forward(const cnn_op_call *call) {
    int64_t from[CNN_MAX_RANK], step[CNN_MAX_RANK];
    block_of(call->attributes, call->output->rank, from, step);
    if (call->output->size > 0) cnn_slice_into(call->output, call->inputs[0], from, step);
    return CNN_OK;
}

static cnn_status slice_backward(const cnn_op_call *call) {
    int64_t from[CNN_MAX_RANK], step[CNN_MAX_RANK];
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx) return CNN_OK;
    block_of(call->attributes, dx->rank, from, step);
    if (dx->size > call->grad_output->size) memset(dx->data, 0, cnn_tensor_bytes(dx));
    write_block(dx, from, step, call->grad_output);
    return CNN_OK;
}

static const cnn_param slice_params[] = {
    CNN_PARAM(SHAPE, cnn_slice_op, from, "null", .help = "the first position on each axis, from 0; null: 0"),
    CNN_PARAM(SHAPE, cnn_slice_op, to, "null", .help = "the position after the last; -1 or null: the end"),
    CNN_PARAM(SHAPE, cnn_slice_op, step, "null", .help = "how far apart positions are, 1 or more; null: 1"),
    {0}};

/* A block of x: on each axis from, from+step, … before to. */
const cnn_op cnn_op_slice = {.class = CNN_CLASS("op", "slice", NULL, cnn_slice_op, slice_params),
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .per_sample = true,
                             .self_parallel = true,
                             .any_dtype = 1u << 0,
                             .infer = slice_infer,
                             .forward = slice_forward,
                             .backward = slice_backward};

/* ---- gather -------------------------------------------------------------------------------------------- */

static cnn_status gather_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                               cnn_op_info *info) {
    (void)n_inputs;
    const cnn_tensor *x = inputs[0], *index = inputs[1];
    int axis;
    CNN_TRY(cnn_normalize_axis("gather", ((const cnn_gather_op *)attributes)->axis, x->rank, &axis));
    if (index->dtype != CNN_INT32)
        return cnn_fail(CNN_ERROR_DTYPE, "gather: expected int32 indices, got %s",
                        cnn_dtype_name(index->dtype));
    if (x->rank - 1 + index->rank > CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "gather: the result would have %d axes, at most %d can be",
                        x->rank - 1 + index->rank, CNN_MAX_RANK);
    if (axis > 0 && index->rank > 0 && index->shape[0] < 0)
        return cnn_fail(CNN_ERROR_SHAPE, "gather: indices by sample can only choose along axis 0");
    for (int i = 0; i < axis; i++) info->shape[info->rank++] = x->shape[i];
    for (int i = 0; i < index->rank; i++) info->shape[info->rank++] = index->shape[i];
    for (int i = axis + 1; i < x->rank; i++) info->shape[info->rank++] = x->shape[i];
    info->per_sample = axis > 0;
    return CNN_OK;
}

typedef struct gather_job {
    const int32_t *index;
    int64_t count, size, inner; /* indices, what they choose from, floats that each names */
    const float *in;
    float *out;
} gather_job;

static gather_job gather_job_of(const cnn_op_call *call, const cnn_tensor *x, int *axis) {
    *axis = ((const cnn_gather_op *)call->attributes)->axis;
    if (*axis < 0) *axis += x->rank;
    return (gather_job){.index = cnn_i32(call->inputs[1]),
                        .count = call->inputs[1]->size,
                        .size = x->shape[*axis],
                        .inner = cnn_sizes_product(x, *axis + 1, x->rank)};
}

static void gather_range(void *context, int64_t from, int64_t to) {
    const gather_job *j = context;
    for (int64_t i = from; i < to; i++) {
        int64_t row = i / j->count * j->size + j->index[i % j->count];
        memcpy(j->out + i * j->inner, j->in + row * j->inner, (size_t)j->inner * sizeof(float));
    }
}

static cnn_status gather_forward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    int axis;
    gather_job j = gather_job_of(call, x, &axis);
    for (int64_t i = 0; i < j.count; i++)
        if (j.index[i] < 0 || j.index[i] >= j.size)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "gather: index %d (number %lld) is outside axis %d of size %lld", (int)j.index[i],
                            (long long)(i + 1), axis, (long long)j.size);
    j.in = cnn_f32(x);
    j.out = cnn_f32(call->output);
    if (call->output->size > 0)
        cnn_parallel_ranges(call->output->size / j.inner, 1 + CNN_GRAIN / j.inner, gather_range, &j);
    return CNN_OK;
}

/* What several indices name gets the sum, added in their order. */
static void scatter_outer(void *context, int64_t outer, int thread) {
    const gather_job *j = context;
    float *out = j->out + outer * j->size * j->inner;
    const float *in = j->in + outer * j->count * j->inner;
    (void)thread;
    memset(out, 0, (size_t)(j->size * j->inner) * sizeof *out);
    for (int64_t i = 0; i < j->count; i++, in += j->inner) {
        float *row = out + j->index[i] * j->inner;
        for (int64_t k = 0; k < j->inner; k++) row[k] += in[k];
    }
}

static cnn_status gather_backward(const cnn_op_call *call) {
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx || dx->size == 0) return CNN_OK;
    int axis;
    gather_job j = gather_job_of(call, dx, &axis);
    j.in = cnn_f32(call->grad_output);
    j.out = cnn_f32(dx);
    cnn_parallel(cnn_sizes_product(dx, 0, axis), scatter_outer, &j);
    return CNN_OK;
}

static const cnn_param gather_params[] = {
    CNN_PARAM(INT, cnn_gather_op, axis, "0", .help = "the axis along which the indices choose"), {0}};

/* x at the positions, from 0, that an int32 index gives along an axis; the index's axes take that axis's place. */
const cnn_op cnn_op_gather = {.class = CNN_CLASS("op", "gather", "take", cnn_gather_op, gather_params),
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .per_sample = true,
                              .self_parallel = true,
                              .shared = 1u << 1,
                              .needs = 1u << 1,
                              .constant = 1u << 1,
                              .infer = gather_infer,
                              .forward = gather_forward,
                              .backward = gather_backward};

/* ---- pad ----------------------------------------------------------------------------------------------- */

static cnn_status pad_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                            cnn_op_info *info) {
    (void)n_inputs;
    const cnn_pad_op *a = attributes;
    const cnn_tensor *x = inputs[0];
    if ((a->before.rank >= 0 && a->before.rank != x->rank) ||
        (a->after.rank >= 0 && a->after.rank != x->rank))
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "pad: expected widths for the %d axes of the input, got %d and %d", x->rank,
                        a->before.rank, a->after.rank);
    cnn_infer_like(info, x);
    for (int i = 0; i < x->rank; i++) {
        int64_t before = given(&a->before, i, 0), after = given(&a->after, i, 0);
        if (before < 0 || after < 0 || before > INT32_MAX || after > INT32_MAX)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "pad: expected widths of at least 0, got %lld and %lld on axis %d",
                            (long long)before, (long long)after, i);
        if (before + after == 0) continue;
        if (x->shape[i] < 0)
            return cnn_fail(CNN_ERROR_SHAPE, "pad: axis %d, whose size is not known yet, can't be padded", i);
        if (i == 0) info->per_sample = false;
        info->shape[i] += before + after;
    }
    return CNN_OK;
}

static void pad_start(const cnn_pad_op *a, int rank, int64_t *from, int64_t *step) {
    for (int i = 0; i < rank; i++) {
        from[i] = given(&a->before, i, 0);
        step[i] = 1;
    }
}

static cnn_status pad_forward(const cnn_op_call *call) {
    int64_t from[CNN_MAX_RANK], step[CNN_MAX_RANK];
    pad_start(call->attributes, call->output->rank, from, step);
    cnn_fill_into(call->output, ((const cnn_pad_op *)call->attributes)->value);
    write_block(call->output, from, step, call->inputs[0]);
    return CNN_OK;
}

static cnn_status pad_backward(const cnn_op_call *call) {
    int64_t from[CNN_MAX_RANK], step[CNN_MAX_RANK];
    pad_start(call->attributes, call->grad_output->rank, from, step);
    cnn_tensor *dx = call->grad_inputs[0];
    if (dx && dx->size > 0) cnn_slice_into(dx, call->grad_output, from, step);
    return CNN_OK;
}

static const cnn_param pad_params[] = {
    CNN_PARAM(SHAPE, cnn_pad_op, before, "null", .help = "how many elements before each axis; null: none"),
    CNN_PARAM(SHAPE, cnn_pad_op, after, "null", .help = "how many after each axis; null: none"),
    CNN_PARAM(FLOAT, cnn_pad_op, value, "0", .help = "what they are"),
    {0}};

/* x with elements of one value around it. */
const cnn_op cnn_op_pad = {.class = CNN_CLASS("op", "pad", NULL, cnn_pad_op, pad_params),
                           .min_inputs = 1,
                           .max_inputs = 1,
                           .per_sample = true,
                           .self_parallel = true,
                           .infer = pad_infer,
                           .forward = pad_forward,
                           .backward = pad_backward};

/* ---- stack --------------------------------------------------------------------------------------------- */

static cnn_status stack_infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                              cnn_op_info *info) {
    const cnn_tensor *x = inputs[0];
    char first[CNN_SHAPE_TEXT], other[CNN_SHAPE_TEXT];
    int axis;
    if (x->rank == CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "stack: the inputs have %d axes already", x->rank);
    CNN_TRY(cnn_normalize_axis("stack", ((const cnn_stack_op *)attributes)->axis, x->rank + 1, &axis));
    for (int k = 1; k < n_inputs; k++)
        if (!cnn_same_shape(inputs[k], x))
            return cnn_fail(CNN_ERROR_SHAPE, "stack: expected inputs of one shape, got %s and %s (input %d)",
                            cnn_shape_text(first, sizeof first, x->rank, x->shape),
                            cnn_shape_text(other, sizeof other, inputs[k]->rank, inputs[k]->shape), k + 1);
    for (int i = 0; i <= x->rank; i++)
        info->shape[i] = i < axis ? x->shape[i] : i == axis ? n_inputs : x->shape[i - 1];
    info->rank = x->rank + 1;
    info->per_sample = axis > 0;
    return CNN_OK;
}

/* The inputs' shape with an axis of size 1 where they are stacked. */
static int opened_shape(const cnn_op_call *call, const cnn_tensor *stacked, int64_t *shape) {
    int axis = ((const cnn_stack_op *)call->attributes)->axis;
    if (axis < 0) axis += stacked->rank;
    for (int i = 0; i < stacked->rank; i++) shape[i] = i == axis ? 1 : stacked->shape[i];
    return axis;
}

static cnn_status stack_forward(const cnn_op_call *call) {
    cnn_tensor parts[CNN_MAX_INPUTS];
    const cnn_tensor *list[CNN_MAX_INPUTS];
    int64_t shape[CNN_MAX_RANK];
    int axis = opened_shape(call, call->output, shape);
    for (int k = 0; k < call->n_inputs; k++) {
        parts[k] = cnn_tensor_wrap(CNN_FLOAT32, call->output->rank, shape, call->inputs[k]->data);
        list[k] = &parts[k];
    }
    cnn_concat_into(call->output, list, call->n_inputs, axis);
    return CNN_OK;
}

static cnn_status stack_backward(const cnn_op_call *call) {
    int64_t shape[CNN_MAX_RANK], from[CNN_MAX_RANK] = {0}, step[CNN_MAX_RANK];
    int axis = opened_shape(call, call->grad_output, shape);
    for (int i = 0; i < CNN_MAX_RANK; i++) step[i] = 1;
    for (; from[axis] < call->n_inputs; from[axis]++) {
        cnn_tensor *dx = call->grad_inputs[from[axis]];
        if (!dx || dx->size == 0) continue;
        cnn_tensor part = cnn_tensor_wrap(CNN_FLOAT32, call->grad_output->rank, shape, dx->data);
        cnn_slice_into(&part, call->grad_output, from, step);
    }
    return CNN_OK;
}

static const cnn_param stack_params[] = {CNN_PARAM(INT, cnn_stack_op, axis, "0", .help = "the new axis"),
                                         {0}};

/* Inputs of one shape side by side along a new axis. */
const cnn_op cnn_op_stack = {.class = CNN_CLASS("op", "stack", NULL, cnn_stack_op, stack_params),
                             .min_inputs = 1,
                             .max_inputs = CNN_MAX_INPUTS,
                             .per_sample = true,
                             .self_parallel = true,
                             .infer = stack_infer,
                             .forward = stack_forward,
                             .backward = stack_backward};
