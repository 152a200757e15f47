/* Fusion: relu right after a convolution or a dense layer, and max pooling after that, become part of the step before,
 * whose kernel then writes only the final result. The value in between is never stored. It must have no other reader. */
#include "model/plan_types.h"
#include "ops/conv.h"
#include "ops/dense.h"
#include "ops/pool.h"
#include "ops/activation.h"

#include "base/memory.h"

/* The one step that reads a value, or -1; aliases count as other readers. */
static int only_reader(const cnn_plan *plan, int index) {
    const value *v = &plan->values[index];
    if (v->wanted || v->consumers != 1) return -1;
    for (int i = 0; i < plan->n_steps; i++)
        for (int j = 0; j < plan->steps[i].n_inputs; j++)
            if (plan->steps[i].inputs[j] == index) return i;
    return -1;
}

static bool absorb_relu(step *s, const step *next) {
    if (next->op != &cnn_op_relu) return false;
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

static void remove_step(cnn_plan *plan, int index) {
    step *s = &plan->steps[index];
    cnn_free(s->attributes);
    cnn_free(s->inputs);
    cnn_free(s->modes);
    cnn_free(s->temporaries);
    for (int i = index; i + 1 < plan->n_steps; i++) plan->steps[i] = plan->steps[i + 1];
    plan->n_steps--;
}

void cnn_plan_fuse(cnn_plan *plan) {
    for (int i = 0; i < plan->n_steps; i++) {
        while (plan->steps[i].op == &cnn_op_conv2d || plan->steps[i].op == &cnn_op_dense) {
            step *s = &plan->steps[i];
            int reader = only_reader(plan, s->output);
            if (reader < 0) break;
            step *next = &plan->steps[reader];
            if (s->backward != next->backward && plan->gradients) break;
            if (!absorb_relu(s, next) && !absorb_pool(s, next)) break;
            s->output = next->output;
            remove_step(plan, reader);
        }
    }
}
