/* One op on concrete inputs, for tests: inputs made from short texts, a forward and a backward pass through
 * cnn_op_forward and cnn_op_backward, and what they gave. */
#ifndef OP_CASE_H
#define OP_CASE_H

#include "tensor_test.h"

#include "base/config.h"
#include "base/memory.h"
#include "ops/op.h"

#include <stdlib.h>

enum { MOST_INPUTS = 6 };

/* An input is written "2,7,7,3", the sizes of a float32 tensor ("": a scalar), after a letter that says what
 * it holds: (none) numbers in ±[0.1, 1]         + numbers in [0.2, 1.2] ~ distinct numbers, 0.03 apart      p
 * numbers in [0.2, 0.8] g multiples of 0.03 in ±0.6, 0.015 from all the distinct ones i10: int32 labels below
 * 10, u10: the same as uint8, f10: as float32, o: int32 ones */
typedef struct op_case {
    const char *op;         /* after a '!' where it is to be run in training, as random ops always are */
    const char *attributes; /* JSON; NULL: {} */
    const char *inputs[MOST_INPUTS];
} op_case;

/* A small generator of its own, so that inputs do not depend on the code under test. */
static inline uint32_t draw(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static inline double draw_unit(uint32_t *state) {
    return (draw(state) >> 8) / 16777216.0;
}

static inline void fill_distinct(cnn_tensor *t, uint32_t *state) {
    for (int64_t i = 0; i < t->size; i++) cnn_f32(t)[i] = (float)(0.03 * (double)(i - t->size / 2) + 0.015);
    for (int64_t i = t->size - 1; i > 0; i--) {
        int64_t j = (int64_t)(draw(state) % (uint32_t)(i + 1));
        float kept = cnn_f32(t)[i];
        cnn_f32(t)[i] = cnn_f32(t)[j];
        cnn_f32(t)[j] = kept;
    }
}

static inline cnn_tensor *make_input(const char *text, uint32_t *state) {
    char kind = *text && strchr("+~pgiufo", *text) ? *text++ : 's';
    cnn_dtype dtype = kind == 'i' || kind == 'o' ? CNN_INT32 : kind == 'u' ? CNN_UINT8 : CNN_FLOAT32;
    long classes = 0;
    if (strchr("iuf", kind)) classes = strtol(text, (char **)&text, 10), text++;
    int64_t shape[CNN_MAX_RANK];
    int rank = 0;
    while (*text) {
        shape[rank++] = strtol(text, (char **)&text, 10);
        if (*text == ',') text++;
    }
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, dtype, rank, shape));
    if (kind == '~') {
        fill_distinct(t, state);
        return t;
    }
    for (int64_t i = 0; i < t->size; i++) {
        double u = draw_unit(state), value = 0.1 + 0.9 * u;
        if (kind == 's' && draw(state) & 1) value = -value;
        if (kind == '+') value = 0.2 + u;
        if (kind == 'o') value = 1;
        if (kind == 'p') value = 0.2 + 0.6 * u;
        if (kind == 'g') value = 0.03 * (double)((int)(draw(state) % 41) - 20);
        if (classes) value = floor(u * (double)classes);
        cnn_tensor_set(t, i, value);
    }
    return t;
}

/* An op with its inputs and whatever a pass makes. */
typedef struct op_run {
    const cnn_op *op;
    void *attributes;
    cnn_op_info info;
    int n_inputs;
    cnn_tensor *inputs[MOST_INPUTS], *grads[MOST_INPUTS], *output, *grad_output;
    void *saved;
    bool training;
} op_run;

static inline const cnn_tensor *const *run_inputs(const op_run *r) {
    return (const cnn_tensor *const *)r->inputs;
}

/* Takes the inputs over. */
static inline void run_open_with(op_run *r, const char *op, const char *attributes, cnn_tensor *const *inputs,
                                 int n_inputs) {
    *r = (op_run){.n_inputs = n_inputs, .training = *op == '!'};
    OK(cnn_op_find(&r->op, op + r->training));
    r->training = r->training || r->op->random;
    cJSON *config = NULL;
    OK(cnn_json_parse(&config, op, attributes));
    OK(cnn_object_new(&r->attributes, &r->op->class, config));
    cJSON_Delete(config);
    for (int i = 0; i < n_inputs; i++) r->inputs[i] = inputs[i];
    OK(cnn_op_infer(r->op, r->attributes, run_inputs(r), n_inputs, r->training, &r->info));
    OK(cnn_tensor_new(&r->output, r->info.dtype, r->info.rank, r->info.shape));
    OK(cnn_tensor_new(&r->grad_output, CNN_FLOAT32, r->info.rank, r->info.shape));
    uint32_t state = 77;
    for (int64_t i = 0; i < r->grad_output->size; i++)
        cnn_f32(r->grad_output)[i] = (float)(2 * draw_unit(&state) - 1);
    r->saved = cnn_malloc(r->info.saved * (size_t)(r->info.per_sample ? r->info.shape[0] : 1));
    for (int i = 0; i < n_inputs; i++)
        if (!(r->op->constant >> i & 1) && r->inputs[i]->dtype == CNN_FLOAT32)
            OK(cnn_tensor_new(&r->grads[i], CNN_FLOAT32, r->inputs[i]->rank, r->inputs[i]->shape));
}

static inline void run_open(op_run *r, const op_case *c) {
    uint32_t state = 12345;
    cnn_tensor *inputs[MOST_INPUTS] = {0};
    int n = 0;
    for (; n < MOST_INPUTS && c->inputs[n]; n++) inputs[n] = make_input(c->inputs[n], &state);
    run_open_with(r, c->op, c->attributes, inputs, n);
}

static inline cnn_status run_forward(op_run *r) {
    return cnn_op_forward(r->op, r->attributes, &r->info, run_inputs(r), r->n_inputs, r->output, r->saved,
                          r->training, 99);
}

static inline cnn_status run_backward(op_run *r) {
    return cnn_op_backward(r->op, r->attributes, &r->info, run_inputs(r), r->n_inputs, r->output, r->saved,
                           r->training, 99, r->grad_output, r->grads);
}

static inline void run_close(op_run *r) {
    for (int i = 0; i < r->n_inputs; i++) {
        cnn_tensor_release(r->inputs[i]);
        cnn_tensor_release(r->grads[i]);
    }
    cnn_tensor_release(r->output);
    cnn_tensor_release(r->grad_output);
    cnn_free(r->saved);
    cnn_object_free(r->attributes);
}

/* The instruction sets of this machine, one after the other; the best remains chosen at the end. */
static inline int available_cpus(const char **names) {
    static const char *const all[] = {"generic", "sse2", "avx2", "avx512"};
    int count = 0;
    for (int i = 0; i < 4; i++)
        if (cnn_set_cpu(all[i]) == CNN_OK) names[count++] = all[i];
    return count;
}

#endif
