/* Fusion: relu right after a convolution or a dense layer, and max pooling after that, become part of the step before,
 * whose kernel then writes only the final result. The value in between is never stored. It must have no other reader.
 * In plans of inference, batch normalization right after a convolution is folded into its weights, and every kind of
 * convolution takes relu in. */
#include "model/plan_types.h"
#include "ops/conv_kinds.h"
#include "ops/dense.h"
#include "ops/norm.h"
#include "ops/pool.h"
#include "ops/activation.h"

#include "base/memory.h"
#include "base/status.h"

#include <string.h>

/* The one step that reads a value, or -1; aliases count as other readers. */
static int only_reader(const cnn_plan *plan, int index) {
    const value *v = &plan->values[index];
    if (v->wanted || v->consumers != 1) return -1;
    for (int i = 0; i < plan->n_steps; i++)
        for (int j = 0; j < plan->steps[i].n_inputs; j++)
            if (plan->steps[i].inputs[j] == index) return i;
    return -1;
}

static bool takes_in(const step *s) {
    return s->op == &cnn_op_conv2d || s->op == &cnn_op_dense || s->op == &cnn_op_conv1d ||
           s->op == &cnn_op_depthwise_conv2d || s->op == &cnn_op_conv2d_transpose;
}

/* What a convolution of a plan without gradients can take in, or NULL. */
static bool *inference_relu(const cnn_plan *plan, step *s) {
    if (plan->gradients) return NULL;
    if (s->op == &cnn_op_conv1d) return &((cnn_conv1d *)s->attributes)->fused.relu;
    if (s->op == &cnn_op_depthwise_conv2d) return &((cnn_depthwise_conv2d *)s->attributes)->fused.relu;
    if (s->op == &cnn_op_conv2d_transpose) return &((cnn_conv2d_transpose *)s->attributes)->relu;
    return NULL;
}

static cnn_conv_fold *foldable(const cnn_plan *plan, step *s) {
    if (plan->gradients || plan->training) return NULL;
    if (s->op == &cnn_op_conv2d) {
        cnn_conv2d *conv = s->attributes;
        return conv->relu || conv->pool[0] > 1 || conv->pool[1] > 1 ? NULL : &conv->fold;
    }
    cnn_conv_fused *fused = s->op == &cnn_op_conv1d ? &((cnn_conv1d *)s->attributes)->fused
                            : s->op == &cnn_op_depthwise_conv2d
                                ? &((cnn_depthwise_conv2d *)s->attributes)->fused
                                : NULL;
    return fused && !fused->relu ? &fused->fold : NULL;
}

static bool absorb_relu(const cnn_plan *plan, step *s, const step *next) {
    if (next->op != &cnn_op_relu) return false;
    bool *relu = inference_relu(plan, s);
    if (relu) return *relu ? false : (*relu = true);
    if (s->op == &cnn_op_dense) {
        cnn_dense *dense = s->attributes;
        return dense->relu ? false : (dense->relu = true);
    }
    if (s->op != &cnn_op_conv2d) return false;
    cnn_conv2d *conv = s->attributes;
    bool pooled = conv->pool[0] > 1 || conv->pool[1] > 1;
    return conv->relu || pooled ? false : (conv->relu = true);
}

/* Pooling without overlap or padding, in windows small enough for an index byte with 255 to spare. */
static bool absorb_pool(step *s, const step *next) {
    if (s->op != &cnn_op_conv2d || next->op != &cnn_op_max_pool2d) return false;
    cnn_conv2d *conv = s->attributes;
    const cnn_pool2d *pool = next->attributes;
    int strides[2];
    cnn_pool2d_strides(pool, strides);
    if (conv->pool[0] > 1 || conv->pool[1] > 1 || pool->padding != CNN_PADDING_VALID) return false;
    if (strides[0] != pool->pool_size[0] || strides[1] != pool->pool_size[1]) return false;
    if (pool->pool_size[0] > 15 || pool->pool_size[1] > 15) return false;
    conv->pool[0] = pool->pool_size[0];
    conv->pool[1] = pool->pool_size[1];
    return true;
}

/* Batch normalization's vectors become the convolution's last inputs: gamma, beta, mean and variance. None of them may
 * be made by a step, which might come later. */
static cnn_status absorb_norm(const cnn_plan *plan, step *s, const step *next, bool *absorbed) {
    *absorbed = false;
    cnn_conv_fold *fold = foldable(plan, s);
    if (next->op != &cnn_op_batch_normalization || !fold || fold->on) return CNN_OK;
    for (int i = 1; i <= CNN_FOLD_INPUTS; i++)
        if (plan->values[next->inputs[i]].kind != VALUE_CONSTANT) return CNN_OK;
    int n = s->n_inputs + CNN_FOLD_INPUTS;
    int *inputs = cnn_malloc((size_t)n * sizeof *inputs);
    gradient_mode *modes = cnn_calloc((size_t)n * sizeof *modes);
    place *temporaries = cnn_calloc((size_t)n * sizeof *temporaries);
    if (!inputs || !modes || !temporaries) {
        cnn_free(inputs);
        cnn_free(modes);
        cnn_free(temporaries);
        return cnn_fail_memory((size_t)n * sizeof *temporaries);
    }
    memcpy(inputs, s->inputs, (size_t)s->n_inputs * sizeof *inputs);
    memcpy(inputs + s->n_inputs, next->inputs + 1, CNN_FOLD_INPUTS * sizeof *inputs);
    cnn_free(s->inputs);
    cnn_free(s->modes);
    cnn_free(s->temporaries);
    s->inputs = inputs;
    s->modes = modes;
    s->temporaries = temporaries;
    s->n_inputs = n;
    *fold = (cnn_conv_fold){true, ((const cnn_batch_norm *)next->attributes)->epsilon};
    return (*absorbed = true), CNN_OK;
}

static void note_fused(step *s, const step *next) {
    int i = 0;
    while (s->fused[i]) i++;
    s->fused[i] = next->op;
    if (!s->layer) s->layer = next->layer;
}

static void remove_step(cnn_plan *plan, int index) {
    step *s = &plan->steps[index];
    cnn_free(s->attributes);
    cnn_free(s->inputs);
    cnn_free(s->modes);
    cnn_free(s->temporaries);
    for (int i = index; i + 1 < plan->n_steps; i++) plan->steps[i] = plan->steps[i + 1];
    plan->n_steps--;
}

cnn_status cnn_plan_fuse(cnn_plan *plan) {
    for (int i = 0; i < plan->n_steps; i++) {
        while (takes_in(&plan->steps[i])) {
            step *s = &plan->steps[i];
            int reader = only_reader(plan, s->output);
            if (reader < 0) break;
            step *next = &plan->steps[reader];
            if (s->backward != next->backward && plan->gradients) break;
            bool absorbed;
            CNN_TRY(absorb_norm(plan, s, next, &absorbed));
            if (!absorbed && !absorb_relu(plan, s, next) && !absorb_pool(s, next)) break;
            note_fused(s, next);
            s->output = next->output;
            remove_step(plan, reader);
        }
    }
    return CNN_OK;
}
