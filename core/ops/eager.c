/* One op on a whole batch, at once: what eager calls and the tape run. A per-sample op that does not spread its own
 * work is run lane by lane, on the lanes that a compiled plan would use. */
#include "ops/op.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"

#include <stdatomic.h>
#include <string.h>

typedef struct run {
    const cnn_op *op;
    const cnn_op_info *info;
    cnn_op_call call; /* of the whole batch */
    bool backward;
    int lanes;
    char *scratch; /* one block of scratch_stride bytes a thread */
    size_t scratch_stride;
    float *sums; /* backward: for each lane, the gradients of all shared inputs, at offsets sums_at */
    size_t sums_stride, sums_at[CNN_MAX_INPUTS];
    atomic_int failed; /* the first failing task's status */
    char message[512];
} run;

static bool in_lanes(const run *r) {
    return r->info->per_sample && !r->op->self_parallel;
}

static bool is_shared(const cnn_op *op, int input) {
    return input < 32 && (op->shared >> input & 1);
}

static cnn_tensor rows(const cnn_tensor *t, int64_t from, int64_t to) {
    cnn_tensor view = *t;
    int64_t row = t->shape[0] ? t->size / t->shape[0] : 0;
    view.shape[0] = to - from;
    view.size = row * (to - from);
    if (t->data) view.data = (char *)t->data + (size_t)(row * from) * cnn_dtype_size(t->dtype);
    return view;
}

static void run_lane(void *context, int64_t lane, int thread) {
    run *r = context;
    cnn_op_call call = r->call;
    int64_t from, to;
    cnn_lane_range(call.output->shape[0], r->lanes, (int)lane, &from, &to);

    cnn_tensor inputs[CNN_MAX_INPUTS], grads[CNN_MAX_INPUTS], output = rows(call.output, from, to),
                                                              grad_output;
    const cnn_tensor *input_list[CNN_MAX_INPUTS];
    cnn_tensor *grad_list[CNN_MAX_INPUTS];
    for (int i = 0; i < call.n_inputs; i++) {
        bool shared = is_shared(r->op, i);
        inputs[i] = shared ? *call.inputs[i] : rows(call.inputs[i], from, to);
        input_list[i] = &inputs[i];
        grad_list[i] = NULL;
        if (!r->backward || !call.grad_inputs[i]) continue;
        grads[i] = shared ? *call.grad_inputs[i] : rows(call.grad_inputs[i], from, to);
        if (shared && r->lanes > 1) grads[i].data = r->sums + (size_t)lane * r->sums_stride + r->sums_at[i];
        grad_list[i] = &grads[i];
    }
    call.inputs = input_list;
    call.output = &output;
    if (call.saved) call.saved = (char *)call.saved + (size_t)from * r->info->saved;
    call.scratch = r->scratch + (size_t)thread * r->scratch_stride;
    call.first_sample = from;
    if (r->backward) {
        grad_output = rows(call.grad_output, from, to);
        call.grad_output = &grad_output;
        call.grad_inputs = grad_list;
    }
    cnn_status status = r->backward ? r->op->backward(&call) : r->op->forward(&call);
    int expected = CNN_OK;
    if (status != CNN_OK && atomic_compare_exchange_strong(&r->failed, &expected, (int)status))
        snprintf(r->message, sizeof r->message, "%s", cnn_error_message());
}

static void clear_shared(const run *r) {
    for (int i = 0; i < r->call.n_inputs; i++)
        if (is_shared(r->op, i) && r->call.grad_inputs[i])
            memset(r->call.grad_inputs[i]->data, 0, cnn_tensor_bytes(r->call.grad_inputs[i]));
}

/* Memory for the lanes' sums of shared gradients, cleared. A single lane adds to these themselves. */
static cnn_status make_sums(run *r) {
    size_t floats = 0;
    for (int i = 0; i < r->call.n_inputs; i++) {
        if (!is_shared(r->op, i) || !r->call.grad_inputs[i]) continue;
        r->sums_at[i] = floats;
        floats += CNN_ROUND_UP((size_t)r->call.grad_inputs[i]->size, CNN_ALIGN / sizeof(float));
    }
    r->sums_stride = floats;
    r->lanes = cnn_lane_count(r->call.output->shape[0], floats * sizeof(float));
    if (r->lanes == 1) {
        clear_shared(r);
        return CNN_OK;
    }
    size_t bytes = floats * sizeof(float) * (size_t)r->lanes;
    r->sums = cnn_calloc(bytes);
    return r->sums ? CNN_OK : cnn_fail_memory(bytes);
}

static void add_sums(run *r) {
    for (int i = 0; i < r->call.n_inputs; i++) {
        cnn_tensor *gradient = r->call.grad_inputs[i];
        if (!is_shared(r->op, i) || !gradient) continue;
        cnn_lanes_sum(cnn_f32(gradient), false, r->sums + r->sums_at[i], r->lanes, (int64_t)r->sums_stride,
                      gradient->size);
    }
}

static cnn_status run_whole(run *r) {
    if (r->backward) clear_shared(r);
    r->call.scratch = r->scratch;
    return r->backward ? r->op->backward(&r->call) : r->op->forward(&r->call);
}

static cnn_status run_in_lanes(run *r) {
    if (r->backward)
        CNN_TRY(make_sums(r));
    else
        r->lanes = cnn_lane_count(r->call.output->shape[0], 0);
    cnn_parallel(r->lanes, run_lane, r);
    if (r->failed != CNN_OK) return cnn_fail((cnn_status)r->failed, "%s", r->message);
    if (r->backward && r->lanes > 1) add_sums(r);
    return CNN_OK;
}

static cnn_status run_op(run *r) {
    size_t threads = in_lanes(r) ? (size_t)cnn_threads() : 1;
    r->scratch_stride = CNN_ROUND_UP(r->info->scratch, CNN_ALIGN);
    r->scratch = cnn_malloc(r->scratch_stride * threads);
    r->call.prepared = cnn_malloc(r->info->prepared);
    cnn_status status = CNN_OK;
    if (!r->scratch || !r->call.prepared)
        status = cnn_fail_memory(r->scratch_stride * threads + r->info->prepared);
    if (status == CNN_OK) {
        if (r->op->prepare) r->op->prepare(&r->call);
        status = in_lanes(r) ? run_in_lanes(r) : run_whole(r);
    }
    cnn_free(r->sums);
    cnn_free(r->call.prepared);
    cnn_free(r->scratch);
    return status;
}

cnn_status cnn_op_forward(const cnn_op *op, const void *attributes, const cnn_op_info *info,
                          const cnn_tensor *const *inputs, int n_inputs, cnn_tensor *output, void *saved,
                          bool training, uint64_t step) {
    if (op->alias) {
        memcpy(output->data, inputs[0]->data, cnn_tensor_bytes(output));
        return CNN_OK;
    }
    run r = {.op = op,
             .info = info,
             .call = {.attributes = attributes,
                      .n_inputs = n_inputs,
                      .inputs = inputs,
                      .output = output,
                      .saved = saved,
                      .training = training,
                      .once = output->shape[0],
                      .step = step}};
    return run_op(&r);
}

cnn_status cnn_op_backward(const cnn_op *op, const void *attributes, const cnn_op_info *info,
                           const cnn_tensor *const *inputs, int n_inputs, cnn_tensor *output, void *saved,
                           bool training, uint64_t step, const cnn_tensor *grad_output,
                           cnn_tensor *const *grad_inputs) {
    if (!op->backward) return cnn_fail(CNN_ERROR_STATE, "%s: this operation has no gradient", op->class.name);
    if (op->alias) {
        if (grad_inputs[0]) memcpy(grad_inputs[0]->data, grad_output->data, cnn_tensor_bytes(grad_output));
        return CNN_OK;
    }
    run r = {.op = op,
             .info = info,
             .backward = true,
             .call = {.attributes = attributes,
                      .n_inputs = n_inputs,
                      .inputs = inputs,
                      .output = output,
                      .saved = saved,
                      .training = training,
                      .step = step,
                      .backward_follows = true,
                      .forward_done = true,
                      .once = output->shape[0],
                      .grad_output = grad_output,
                      .grad_inputs = grad_inputs}};
    return run_op(&r);
}
