#include "train/samples.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"
#include "ops/loss.h"

#include <math.h>
#include <string.h>

/* The list, or the lone one that is there in its place. */
static cnn_tensor_list list_of(cnn_tensor_list several, cnn_tensor *const *one) {
    return several.items ? several : (cnn_tensor_list){one, *one ? 1 : 0};
}

cnn_samples cnn_samples_given(const cnn_fit_options *o) {
    return (cnn_samples){.x = list_of(o->xs, &o->x),
                         .y = list_of(o->ys, &o->y),
                         .weight = list_of(o->sample_weights, &o->sample_weight)};
}

cnn_samples cnn_samples_for_validation(const cnn_fit_options *o) {
    return (cnn_samples){.x = list_of(o->validation_xs, &o->validation_x),
                         .y = list_of(o->validation_ys, &o->validation_y),
                         .weight = list_of(o->validation_sample_weights, &o->validation_sample_weight)};
}

static const cnn_tensor *weight_of(const cnn_samples *d, int output) {
    if (d->weight.count == 1) return d->weight.items[0];
    return output < d->weight.count ? d->weight.items[output] : NULL;
}

/* ---- checks -------------------------------------------------------------------------------------------- */

/* An array as messages call it: "x", or "x 'left'" where there are several. */
typedef struct array_name {
    char text[CNN_NAME_TEXT + 32];
} array_name;

static void name_array(array_name *name, const char *what, const char *of) {
    snprintf(name->text, sizeof name->text, "%s '%s'", what, of);
}

static array_name name_input(const cnn_model *model, int input) {
    array_name name;
    char of[CNN_NAME_TEXT];
    strcpy(name.text, "x");
    if (model->n_inputs > 1) name_array(&name, "x", cnn_model_input_name(of, sizeof of, model, input));
    return name;
}

static array_name name_output(const cnn_model *model, const char *what, int output) {
    array_name name;
    char of[CNN_NAME_TEXT];
    strcpy(name.text, what);
    if (model->n_outputs > 1) name_array(&name, what, cnn_model_output_name(of, sizeof of, model, output));
    return name;
}

typedef char *name_of(char *buffer, size_t capacity, const cnn_model *model, int index);

static cnn_status fail_count(const char *who, const cnn_model *model, const char *what, int count, int got,
                             name_of *name) {
    cnn_text names = {0};
    char buffer[CNN_NAME_TEXT], number[16] = "one";
    for (int i = 0; i < count; i++)
        cnn_text_add(&names, i ? ", '%s'" : "'%s'", name(buffer, sizeof buffer, model, i));
    if (got != 1) snprintf(number, sizeof number, "%d", got);
    cnn_status status = cnn_fail(CNN_ERROR_ARGUMENT, "%s: model '%s' has %d %s%s, got %s; expected %s", who,
                                 model->layer.name, count, what, count == 1 ? "" : "s", number,
                                 names.bytes ? names.bytes : "others");
    cnn_text_free(&names);
    return status;
}

static cnn_status check_array(const char *who, const char *name, const cnn_tensor *array) {
    if (!array) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: missing argument '%s'", who, name);
    if (array->data) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: %s is a symbolic tensor, it has no values", who, name);
}

static cnn_status check_input(const cnn_model *model, const char *who, const char *name, const cnn_tensor *x,
                              const cnn_tensor *input) {
    char got[CNN_SHAPE_TEXT], wanted[CNN_SHAPE_TEXT];
    bool fits = x->rank == input->rank;
    for (int i = 1; fits && i < x->rank; i++) fits = x->shape[i] == input->shape[i];
    if (fits) return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE, "%s: model '%s' expects %s of shape %s, got %s", who, model->layer.name,
                    name, cnn_shape_text(wanted, sizeof wanted, input->rank, input->shape),
                    cnn_shape_text(got, sizeof got, x->rank, x->shape));
}

/* As many samples as the first input has. */
static cnn_status check_samples_of(const char *who, const char *first, const cnn_tensor *x, const char *name,
                                   const cnn_tensor *array) {
    if (array->rank >= 1 && array->shape[0] == x->shape[0]) return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE, "%s: %s has %lld samples, %s has %lld", who, first,
                    (long long)x->shape[0], name, (long long)(array->rank < 1 ? 1 : array->shape[0]));
}

cnn_status cnn_samples_check_x(cnn_model *model, const char *who, cnn_tensor_list x) {
    if (x.count == 0) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: missing argument 'x'", who);
    for (int i = 0; i < x.count; i++) {
        array_name name = i < model->n_inputs ? name_input(model, i) : (array_name){"x"};
        CNN_TRY(check_array(who, name.text, x.items[i]));
        if (x.items[i]->rank < 1 || x.items[i]->shape[0] == 0)
            return cnn_fail(CNN_ERROR_SHAPE, "%s: %s has no samples", who, name.text);
    }
    if (model->n_outputs == 0) {
        cnn_status status = cnn_model_build(model, x.items[0]->rank, x.items[0]->shape);
        if (status != CNN_OK) return cnn_fail_in(status, who);
    }
    if (x.count != model->n_inputs)
        return fail_count(who, model, "input", model->n_inputs, x.count, cnn_model_input_name);
    array_name first = name_input(model, 0);
    for (int i = 0; i < x.count; i++) {
        array_name name = name_input(model, i);
        CNN_TRY(check_input(model, who, name.text, x.items[i], model->inputs[i]));
        CNN_TRY(check_samples_of(who, first.text, x.items[0], name.text, x.items[i]));
    }
    return CNN_OK;
}

/* Labels that the loss can take: their shape, and that positions of classes are among them. The loss would find that
 * out itself, but late, and by then shuffling hides which sample it was. */
static cnn_status check_labels(const char *who, const cnn_model *model, int index, const char *name,
                               const cnn_tensor *y) {
    const void *loss = model->trainer->targets[index].loss;
    const cnn_op *op = (const cnn_op *)((const cnn_object *)loss)->class;
    const cnn_tensor *output = model->outputs[index], *inputs[] = {output, y};
    cnn_op_info info;
    cnn_status status = cnn_op_infer(op, loss, inputs, 2, false, &info);
    if (status != CNN_OK && model->n_outputs > 1) status = cnn_fail_in(status, name);
    if (status != CNN_OK) return cnn_fail_in(status, who);
    if (op != &cnn_op_sparse_categorical_crossentropy) return CNN_OK;
    int64_t classes = output->shape[output->rank - 1], row = y->size / y->shape[0];
    for (int64_t i = 0; i < y->size; i++) {
        double label = cnn_tensor_get(y, i);
        if (label >= 0 && label < (double)classes && label == floor(label)) continue;
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: %s: label %g of sample %lld of %lld is not a whole number in [0, %lld)", who,
                        name, label, (long long)(i / row + 1), (long long)y->shape[0], (long long)classes);
    }
    return CNN_OK;
}

static cnn_status check_weight(const char *who, const char *name, const cnn_tensor *weight) {
    if (!weight->data)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: %s is a symbolic tensor, it has no values", who, name);
    if (weight->rank != 1) return cnn_fail(CNN_ERROR_SHAPE, "%s: %s must have one axis", who, name);
    if (weight->dtype != CNN_FLOAT32)
        return cnn_fail(CNN_ERROR_DTYPE, "%s: %s must be float32, got %s", who, name,
                        cnn_dtype_name(weight->dtype));
    return CNN_OK;
}

/* What is looked at of samples that have labels. */
cnn_status cnn_samples_check(cnn_model *model, const char *who, const cnn_samples *d) {
    CNN_TRY(cnn_samples_check_x(model, who, d->x));
    array_name first = name_input(model, 0);
    if (d->y.count == 0) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: missing argument 'y'", who);
    if (d->y.count != model->n_outputs)
        return fail_count(who, model, "output", model->n_outputs, d->y.count, cnn_model_output_name);
    if (d->weight.count > 1 && d->weight.count != model->n_outputs)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: %d sample_weights for %d outputs", who, d->weight.count,
                        model->n_outputs);
    for (int i = 0; i < model->n_outputs; i++) {
        array_name y = name_output(model, "y", i), w = name_output(model, "sample_weight", i);
        const cnn_tensor *weight = weight_of(d, i);
        CNN_TRY(check_array(who, y.text, d->y.items[i]));
        CNN_TRY(check_samples_of(who, first.text, d->x.items[0], y.text, d->y.items[i]));
        if (weight) CNN_TRY(check_weight(who, w.text, weight));
        if (weight) CNN_TRY(check_samples_of(who, first.text, d->x.items[0], w.text, weight));
        CNN_TRY(check_labels(who, model, i, y.text, d->y.items[i]));
    }
    return CNN_OK;
}

/* ---- batches ------------------------------------------------------------------------------------------- */

typedef struct gathering {
    const cnn_tensor *from;
    const cnn_samples *samples;
    int64_t start; /* of the batch */
    cnn_dtype dtype;
    char *to;
} gathering;

static void gather_rows(void *context, int64_t begin, int64_t end) {
    const gathering *g = context;
    int64_t row = g->from->size / g->from->shape[0];
    size_t in_row = (size_t)row * cnn_dtype_size(g->from->dtype),
           out_row = (size_t)row * cnn_dtype_size(g->dtype);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = g->samples->order ? g->samples->order[g->start + i] : g->start + i;
        char *in = (char *)g->from->data + (size_t)(g->samples->first + at) * in_row,
             *out = g->to + (size_t)i * out_row;
        if (g->from->dtype == g->dtype) {
            memcpy(out, in, out_row);
        } else {
            cnn_tensor source = cnn_tensor_wrap(g->from->dtype, 1, &row, in);
            cnn_tensor target = cnn_tensor_wrap(g->dtype, 1, &row, out);
            cnn_cast_into(&target, &source);
        }
    }
}

static cnn_status reserve(cnn_block *block, size_t bytes) {
    if (block->size >= bytes) return CNN_OK;
    cnn_free(block->bytes);
    *block = (cnn_block){.bytes = cnn_malloc(bytes)};
    if (!block->bytes) return cnn_fail_memory(bytes);
    block->size = bytes;
    return CNN_OK;
}

/* Rows of one array as the plan wants them: in place, or in the block. */
static cnn_status rows_of(const void **rows, const cnn_tensor *from, cnn_dtype dtype, const cnn_samples *s,
                          int64_t start, int64_t count, cnn_block *block) {
    int64_t row = from->size / from->shape[0];
    if (!s->order && from->dtype == dtype) {
        *rows = (char *)from->data + (size_t)((s->first + start) * row) * cnn_dtype_size(dtype);
        return CNN_OK;
    }
    CNN_TRY(reserve(block, (size_t)(count * row) * cnn_dtype_size(dtype)));
    gathering g = {from, s, start, dtype, block->bytes};
    int64_t grain = 65536 / (row > 0 ? row : 1);
    cnn_parallel_ranges(count, grain > 0 ? grain : 1, gather_rows, &g);
    *rows = block->bytes;
    return CNN_OK;
}

/* The label of a sample whose weight is sought: its class, by value or by the largest of a row. */
static int64_t class_of(const cnn_tensor *y, int64_t sample) {
    int64_t row = y->size / y->shape[0], best = 0;
    if (row == 1) {
        double label = cnn_tensor_get(y, sample);
        return label >= 0 && label < INT32_MAX ? (int64_t)label : -1;
    }
    for (int64_t i = 1; i < row; i++)
        if (cnn_tensor_get(y, sample * row + i) > cnn_tensor_get(y, sample * row + best)) best = i;
    return best;
}

/* sample_weight times class_weight; NULL where neither is given. */
static cnn_status weights_of(const float **weights, const cnn_samples *d, int output, int64_t start,
                             int64_t count, cnn_block *block) {
    const cnn_tensor *weight = weight_of(d, output);
    *weights = NULL;
    if (!weight && !d->class_weight) return CNN_OK;
    CNN_TRY(reserve(block, (size_t)count * sizeof(float)));
    float *to = (float *)block->bytes;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = d->first + (d->order ? d->order[start + i] : start + i);
        float w = weight ? cnn_f32(weight)[at] : 1;
        if (d->class_weight) {
            int64_t label = class_of(d->y.items[output], at);
            if (label >= 0 && label < d->class_weight_count) w *= d->class_weight[label];
        }
        to[i] = w;
    }
    *weights = to;
    return CNN_OK;
}

cnn_status cnn_samples_batch(cnn_batch *b, cnn_batch_memory *m, const cnn_model *model, const cnn_samples *d,
                             int64_t start, int64_t most) {
    int64_t left = d->count - start;
    b->count = left < most ? left : most;
    b->labels = d->y.items;
    for (int i = 0; i < d->x.count; i++)
        CNN_TRY(rows_of(&b->x[i], d->x.items[i], model->inputs[i]->dtype, d, start, b->count, &m->x[i]));
    for (int i = 0; i < d->y.count; i++) {
        CNN_TRY(rows_of(&b->y[i], d->y.items[i], d->y.items[i]->dtype, d, start, b->count, &m->y[i]));
        CNN_TRY(weights_of(&b->weight[i], d, i, start, b->count, &m->weight[i]));
    }
    return CNN_OK;
}

void cnn_batch_memory_free(cnn_batch_memory *m) {
    for (int i = 0; i < CNN_MAX_INPUTS; i++) cnn_free(m->x[i].bytes);
    for (int i = 0; i < CNN_MAX_FIGURES; i++) {
        cnn_free(m->y[i].bytes);
        cnn_free(m->weight[i].bytes);
    }
}
