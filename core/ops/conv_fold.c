/* Batch normalization folded into the convolution before it; see conv_fold.h. */
#include "ops/conv_fold.h"
#include "base/memory.h"
#include "base/status.h"

#include <math.h>

enum { GAMMA, BETA, MEAN, VARIANCE };

int cnn_conv_own_inputs(const cnn_conv_fold *f, int n_inputs) {
    return f->on ? n_inputs - CNN_FOLD_INPUTS : n_inputs;
}

cnn_status cnn_conv_check_inputs(const char *who, const cnn_conv_fold *f, int n_inputs) {
    int own = cnn_conv_own_inputs(f, n_inputs);
    if (own == 2 || own == 3) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected 2 to 3 inputs, got %d", who, own);
}

static size_t bias_floats(int out) {
    return CNN_ROUND_UP((size_t)out, CNN_ALIGN / sizeof(float));
}

size_t cnn_conv_folded_floats(const cnn_conv_fold *f, const cnn_tensor *weights, int out) {
    return f->on ? bias_floats(out) + CNN_ROUND_UP((size_t)weights->size, CNN_ALIGN / sizeof(float)) : 0;
}

static const float *own_bias(const cnn_conv_fold *f, const cnn_op_call *call) {
    return cnn_conv_own_inputs(f, call->n_inputs) > 2 ? cnn_f32(call->inputs[2]) : NULL;
}

const float *cnn_conv_bias(const cnn_conv_fold *f, const cnn_op_call *call, const float *folded) {
    return f->on ? folded : own_bias(f, call);
}

const float *cnn_conv_fold_weights(const cnn_conv_fold *f, const cnn_op_call *call, int out, float *folded) {
    const float *w = cnn_f32(call->inputs[1]), *b = own_bias(f, call), *of[CNN_FOLD_INPUTS];
    if (!f->on) return w;
    float *bias = folded, *scaled = folded + bias_floats(out);
    int64_t rows = call->inputs[1]->size / out;
    for (int i = 0; i < CNN_FOLD_INPUTS; i++)
        of[i] = cnn_f32(call->inputs[call->n_inputs - CNN_FOLD_INPUTS + i]);
    for (int o = 0; o < out; o++) {
        double scale = of[GAMMA][o] / sqrt((double)of[VARIANCE][o] + f->epsilon);
        bias[o] = (float)(scale * ((b ? (double)b[o] : 0) - of[MEAN][o]) + of[BETA][o]);
        for (int64_t r = 0; r < rows; r++) scaled[r * out + o] = (float)(scale * w[r * out + o]);
    }
    return scaled;
}
