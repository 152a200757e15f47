/* fit, evaluate and predict: loops over batches of samples, with what Keras does around them. Data goes to the plan as
 * rows of the inputs' dtypes: in place where it lies so already, else gathered into buffers made once a run. */
#include "train/trainer.h"
#include "train/callback.h"
#include "train/history.h"
#include "train/progress.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "ops/loss.h"

#include <math.h>
#include <string.h>

/* Samples [first, first+count) of the arrays, in the order of `order` if there is one. */
typedef struct samples {
    cnn_tensor_list x, y;   /* of each input and output */
    cnn_tensor_list weight; /* of each output, or one for all; NULL or an empty list: all 1 */
    int64_t first, count;
    const int32_t *order; /* positions relative to first, or NULL */
    bool training;
} samples;

/* A run of fit, evaluate or predict. */
typedef struct session {
    cnn_model *model;
    const cnn_fit_options *options;
    int batch_size;
    cnn_progress progress;
    cnn_run_control control, *outer; /* outer: of the run whose callback began this one */
    cnn_fit_state state;             /* of training */
    cnn_metric_state outer_metrics;  /* and what it has measured so far */
    char *x_buffers[CNN_MAX_INPUTS]; /* batch_size rows each */
    char *y_buffers[CNN_MAX_FIGURES];
    float *weight_buffer; /* batch_size numbers for each output */
    const char *names[CNN_MAX_FIGURES], *val_names[CNN_MAX_FIGURES];
    char *val_text; /* the memory of val_names */
} session;

/* The list, or the lone one that is there in its place. */
static cnn_tensor_list list_of(cnn_tensor_list several, cnn_tensor *const *one) {
    return several.items ? several : (cnn_tensor_list){one, *one ? 1 : 0};
}

static samples given_samples(const cnn_fit_options *o) {
    return (samples){.x = list_of(o->xs, &o->x),
                     .y = list_of(o->ys, &o->y),
                     .weight = list_of(o->sample_weights, &o->sample_weight)};
}

static samples given_validation(const cnn_fit_options *o) {
    return (samples){.x = list_of(o->validation_xs, &o->validation_x),
                     .y = list_of(o->validation_ys, &o->validation_y),
                     .weight = list_of(o->validation_sample_weights, &o->validation_sample_weight)};
}

static const cnn_tensor *weight_of(const samples *d, int output) {
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

static cnn_status check_x(cnn_model *model, const char *who, cnn_tensor_list x) {
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
static cnn_status check_samples(cnn_model *model, const char *who, const samples *d) {
    CNN_TRY(check_x(model, who, d->x));
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

static cnn_status check_class_weight(const cnn_model *model, const char *who, const cnn_fit_options *o) {
    if (!o->class_weight || model->n_outputs <= 1) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT,
                    "%s: class_weight is for models with one output, '%s' has %d; use sample_weight", who,
                    model->layer.name, model->n_outputs);
}

static cnn_status check_options(const char *who, const cnn_fit_options *o) {
    if (o->batch_size < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: batch_size must be 1 or more, got %d", who, o->batch_size);
    if (o->epochs < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: epochs must be 1 or more, got %d", who, o->epochs);
    if (!(o->validation_split >= 0 && o->validation_split < 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: validation_split must be at least 0 and below 1, got %g",
                        who, o->validation_split);
    return CNN_OK;
}

/* ---- batches ------------------------------------------------------------------------------------------- */

typedef struct gathering {
    const cnn_tensor *from;
    const samples *samples;
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

/* Rows of one array as the plan wants them: in place, or in the buffer. */
static const void *rows_of(const cnn_tensor *from, cnn_dtype dtype, const samples *s, int64_t start,
                           int64_t count, char *buffer) {
    int64_t row = from->size / from->shape[0];
    if (!s->order && from->dtype == dtype)
        return (char *)from->data + (size_t)((s->first + start) * row) * cnn_dtype_size(dtype);
    gathering g = {from, s, start, dtype, buffer};
    int64_t grain = 65536 / (row > 0 ? row : 1);
    cnn_parallel_ranges(count, grain > 0 ? grain : 1, gather_rows, &g);
    return buffer;
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

/* sample_weight times class_weight, which as in Keras counts in training alone; NULL where neither is given. */
static const float *weights_of(const session *s, const samples *d, int output, int64_t start, int64_t count) {
    const cnn_fit_options *o = s->options;
    const cnn_tensor *weight = weight_of(d, output);
    bool by_class = o->class_weight && d->training;
    if (!weight && !by_class) return NULL;
    float *to = s->weight_buffer + (size_t)output * (size_t)s->batch_size;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = d->first + (d->order ? d->order[start + i] : start + i);
        float w = weight ? cnn_f32(weight)[at] : 1;
        if (by_class) {
            int64_t label = class_of(d->y.items[output], at);
            if (label >= 0 && label < o->class_weight_count) w *= o->class_weight[label];
        }
        to[i] = w;
    }
    return to;
}

static void fill_batch(cnn_batch *b, const session *s, const samples *d, int64_t start) {
    int64_t left = d->count - start;
    b->count = left < s->batch_size ? left : s->batch_size;
    b->labels = d->y.items;
    for (int i = 0; i < d->x.count; i++)
        b->x[i] = rows_of(d->x.items[i], s->model->inputs[i]->dtype, d, start, b->count, s->x_buffers[i]);
    for (int i = 0; i < d->y.count; i++) {
        b->y[i] = rows_of(d->y.items[i], d->y.items[i]->dtype, d, start, b->count, s->y_buffers[i]);
        b->weight[i] = weights_of(s, d, i, start, b->count);
    }
}

static int step_count(const session *s, int64_t count, int limit) {
    int64_t steps = (count + s->batch_size - 1) / s->batch_size;
    return (int)(limit > 0 && limit < steps ? limit : steps);
}

/* ---- callbacks and logs ---------------------------------------------------------------------------------- */

/* Before each call, since a callback before it may have run something with the same callbacks. */
static cnn_status notify(session *s, cnn_event event, int index, cnn_logs *logs) {
    for (int i = 0; i < s->options->callback_count; i++) {
        cnn_callback **callback = &s->options->callbacks[i];
        (*callback)->run = &s->control;
        CNN_TRY(cnn_callbacks_call(callback, 1, event, index, logs));
    }
    return CNN_OK;
}

static void add_losses(cnn_loss_sums *sums, const cnn_trainer *t, const double *losses, int64_t count) {
    for (int i = 0; i < t->figure_count - t->metric_count; i++) sums->totals[i] += losses[i] * (double)count;
    sums->weight += (double)count;
}

static void fill_logs(const session *s, cnn_logs *logs, const cnn_loss_sums *sums, bool validation) {
    const cnn_trainer *t = s->model->trainer;
    int losses = t->figure_count - t->metric_count;
    for (int i = 0; i < t->figure_count && logs->count < CNN_MAX_LOGS; i++) {
        logs->names[logs->count] = validation ? s->val_names[i] : s->names[i];
        logs->values[logs->count++] =
            i < losses ? sums->totals[i] / sums->weight : cnn_metric_result(t->measured.metrics[i - losses]);
    }
}

static cnn_status save_weights(cnn_model *model, float **weights) {
    float *copy = cnn_malloc((size_t)cnn_model_count_params(model) * sizeof *copy), *to = copy;
    if (!copy) return cnn_fail_memory((size_t)cnn_model_count_params(model) * sizeof *copy);
    for (int i = 0; i < model->layer.variable_count; i++) {
        const cnn_tensor *value = model->layer.variables[i]->value;
        memcpy(to, value->data, cnn_tensor_bytes(value));
        to += value->size;
    }
    *weights = copy;
    return CNN_OK;
}

static void restore_weights(cnn_model *model, const float *weights) {
    for (int i = 0; i < model->layer.variable_count; i++) {
        cnn_tensor *value = model->layer.variables[i]->value;
        memcpy(value->data, weights, cnn_tensor_bytes(value));
        weights += value->size;
    }
    cnn_trainer_touch_weights(model);
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

static bool validating(const cnn_fit_options *o) {
    return given_validation(o).x.count > 0 || o->validation_split > 0;
}

static cnn_status make_names(session *s) {
    size_t bytes = 0;
    int count = cnn_model_metric_count(s->model);
    for (int i = 0; i < count; i++) {
        s->names[i] = cnn_model_metric_name(s->model, i);
        bytes += strlen(s->names[i]) + 5;
    }
    if (!validating(s->options)) return CNN_OK;
    if (!(s->val_text = cnn_malloc(bytes))) return cnn_fail_memory(bytes);
    char *text = s->val_text;
    for (int i = 0; i < count; i++) {
        s->val_names[i] = text;
        text += sprintf(text, "val_%s", s->names[i]) + 1;
    }
    return CNN_OK;
}

static cnn_status make_buffer(char **buffer, const session *s, const cnn_tensor *array, cnn_dtype dtype) {
    size_t row = (size_t)(array->size / array->shape[0]) * cnn_dtype_size(dtype);
    *buffer = cnn_malloc((size_t)s->batch_size * row);
    return *buffer ? CNN_OK : cnn_fail_memory((size_t)s->batch_size * row);
}

/* Only where rows are to be gathered, cast or weighted: train_on_batch, called often, mostly needs none. y: empty
 * where no labels are needed. */
static cnn_status make_buffers(session *s, cnn_tensor_list x, cnn_tensor_list y) {
    const cnn_fit_options *o = s->options;
    bool in_place = o->no_shuffle && !validating(o);
    for (int i = 0; i < x.count; i++) {
        cnn_dtype dtype = s->model->inputs[i]->dtype;
        if (in_place && x.items[i]->dtype == dtype) continue;
        CNN_TRY(make_buffer(&s->x_buffers[i], s, x.items[i], dtype));
    }
    for (int i = 0; i < y.count && !in_place; i++)
        CNN_TRY(make_buffer(&s->y_buffers[i], s, y.items[i], y.items[i]->dtype));
    if (given_samples(o).weight.count == 0 && given_validation(o).weight.count == 0 && !o->class_weight)
        return CNN_OK;
    size_t bytes = (size_t)s->batch_size * (size_t)s->model->n_outputs * sizeof(float);
    return (s->weight_buffer = cnn_malloc(bytes)) ? CNN_OK : cnn_fail_memory(bytes);
}

static void free_buffers(session *s) {
    for (int i = 0; i < s->model->n_inputs; i++) cnn_free(s->x_buffers[i]);
    for (int i = 0; i < s->model->n_outputs && i < CNN_MAX_FIGURES; i++) cnn_free(s->y_buffers[i]);
    cnn_free(s->weight_buffer);
    cnn_free(s->val_text);
}

static void retain(cnn_tensor_list list) {
    for (int i = 0; i < list.count; i++)
        if (list.items[i]) cnn_tensor_retain(list.items[i]);
}

static void release(cnn_tensor_list list) {
    for (int i = 0; i < list.count; i++) cnn_tensor_release(list.items[i]);
}

/* The arrays stay for the run: callbacks may drop the caller's references. */
static void hold_arrays(const cnn_fit_options *o, void (*change)(cnn_tensor_list list)) {
    const samples all[] = {given_samples(o), given_validation(o)};
    for (int i = 0; i < 2; i++) {
        change(all[i].x);
        change(all[i].y);
        change(all[i].weight);
    }
}

static cnn_status open_session(session *s, cnn_model *model, const cnn_fit_options *options,
                               cnn_tensor_list y) {
    *s = (session){.model = model, .options = options};
    int64_t wanted = options->batch_size > 0 ? options->batch_size : 32;
    cnn_tensor_list x = given_samples(options).x, validation_x = given_validation(options).x;
    int64_t most = x.items[0]->shape[0];
    if (validation_x.count > 0 && validation_x.items[0]->shape[0] > most)
        most = validation_x.items[0]->shape[0];
    s->batch_size = (int)(wanted < most ? wanted : most);
    s->progress = cnn_progress_new(options->log, options->verbose);
    s->control = (cnn_run_control){.model = model,
                                   .optimizer = model->trainer->optimizer,
                                   .epochs = options->epochs > 0 ? options->epochs : 1,
                                   .verbose = options->verbose,
                                   .log = options->log,
                                   .callbacks = options->callbacks,
                                   .callback_count = options->callback_count,
                                   .save_weights = save_weights,
                                   .restore_weights = restore_weights};
    hold_arrays(options, retain);
    s->outer = model->run;
    model->run = &s->control;
    if (s->outer) cnn_trainer_take_metrics(model, &s->outer_metrics);
    cnn_trainer_touch_weights(model);
    CNN_TRY(make_names(s));
    return make_buffers(s, x, y);
}

static cnn_status close_session(session *s, cnn_status status) {
    s->model->run = s->outer;
    if (s->outer) {
        cnn_trainer_give_metrics(s->model, &s->outer_metrics);
        s->outer->stop_training |= s->control.stop_training;
    }
    for (int i = 0; i < s->options->callback_count; i++) s->options->callbacks[i]->run = NULL;
    cJSON_Delete(s->state.record);
    cnn_progress_break(&s->progress);
    hold_arrays(s->options, release);
    free_buffers(s);
    return status;
}

static cnn_status poll_interrupt(void) {
    return cnn_interrupted() ? cnn_fail(CNN_ERROR_INTERRUPTED, "interrupted") : CNN_OK;
}

/* ---- evaluate -------------------------------------------------------------------------------------------- */

/* One batch through the model; its losses and metrics join those of the pass so far. */
static cnn_status run_batch(session *s, cnn_mode mode, const samples *d, int step, cnn_batch *b,
                            cnn_loss_sums *sums) {
    double losses[1 + CNN_MAX_FIGURES];
    const cnn_tensor *outputs[CNN_MAX_INPUTS];
    fill_batch(b, s, d, (int64_t)step * s->batch_size);
    CNN_TRY(cnn_trainer_run(s->model, mode, b, losses, outputs));
    CNN_TRY(cnn_trainer_update_metrics(s->model, b, outputs));
    add_losses(sums, s->model->trainer, losses, b->count);
    return CNN_OK;
}

/* Appends loss and metrics over the samples to logs. */
static cnn_status test(session *s, const samples *d, int limit, bool show, cnn_logs *logs) {
    CNN_TRY(cnn_trainer_reset_metrics(s->model, d->y.items));
    CNN_TRY(notify(s, CNN_TEST_BEGIN, 0, NULL));
    int steps = step_count(s, d->count, limit);
    cnn_loss_sums sums = {0};
    cnn_batch b;
    if (show) cnn_progress_begin(&s->progress, steps);
    for (int step = 0; step < steps; step++) {
        CNN_TRY(poll_interrupt());
        CNN_TRY(notify(s, CNN_TEST_BATCH_BEGIN, step, NULL));
        CNN_TRY(run_batch(s, CNN_MODE_TEST, d, step, &b, &sums));
        cnn_logs now = {0};
        fill_logs(s, &now, &sums, false);
        CNN_TRY(notify(s, CNN_TEST_BATCH_END, step, &now));
        if (show) cnn_progress_step(&s->progress, step + 1, &now);
    }
    cnn_logs all = {0};
    fill_logs(s, &all, &sums, false);
    if (show) cnn_progress_end(&s->progress, &all);
    fill_logs(s, logs, &sums, !show);
    return notify(s, CNN_TEST_END, 0, &all);
}

cnn_status cnn_model_evaluate(cnn_model *model, const cnn_fit_options *options, double *values,
                              int capacity) {
    samples d = given_samples(options);
    CNN_TRY(cnn_trainer_expect_compiled(model, "evaluate"));
    CNN_TRY(check_options("evaluate", options));
    CNN_TRY(check_samples(model, "evaluate", &d));
    session s;
    cnn_logs logs = {0};
    d.count = d.x.items[0]->shape[0];
    cnn_status status = open_session(&s, model, options, d.y);
    if (status == CNN_OK) status = test(&s, &d, options->validation_steps, true, &logs);
    for (int i = 0; status == CNN_OK && i < logs.count && i < capacity; i++) values[i] = logs.values[i];
    return close_session(&s, status);
}

/* ---- predict --------------------------------------------------------------------------------------------- */

/* The batch's rows into the result, which has those of all samples. */
static void keep_rows(cnn_tensor *result, const cnn_tensor *output, int64_t start, int64_t count) {
    size_t bytes = cnn_tensor_bytes(output);
    memcpy((char *)result->data + bytes / (size_t)count * (size_t)start, output->data, bytes);
}

static cnn_status predict_batches(session *s, const samples *d, cnn_tensor *const *results) {
    CNN_TRY(notify(s, CNN_PREDICT_BEGIN, 0, NULL));
    int steps = step_count(s, d->count, 0);
    cnn_logs none = {0};
    cnn_batch b;
    cnn_progress_begin(&s->progress, steps);
    for (int step = 0; step < steps; step++) {
        CNN_TRY(poll_interrupt());
        CNN_TRY(notify(s, CNN_PREDICT_BATCH_BEGIN, step, NULL));
        int64_t start = (int64_t)step * s->batch_size;
        const cnn_tensor *outputs[CNN_MAX_INPUTS];
        fill_batch(&b, s, d, start);
        CNN_TRY(cnn_trainer_run(s->model, CNN_MODE_PREDICT, &b, NULL, outputs));
        for (int i = 0; i < s->model->n_outputs; i++) keep_rows(results[i], outputs[i], start, b.count);
        CNN_TRY(notify(s, CNN_PREDICT_BATCH_END, step, &none));
        cnn_progress_step(&s->progress, step + 1, &none);
    }
    cnn_progress_end(&s->progress, &none);
    return notify(s, CNN_PREDICT_END, 0, NULL);
}

static cnn_status new_result(cnn_tensor **out, const cnn_tensor *output, int64_t count) {
    int64_t shape[CNN_MAX_RANK];
    memcpy(shape, output->shape, sizeof shape);
    shape[0] = count;
    return cnn_tensor_alloc(out, output->dtype, output->rank, shape);
}

cnn_status cnn_model_predict_all(cnn_tensor **outs, cnn_model *model, const cnn_fit_options *options) {
    cnn_trainer *trainer;
    CNN_TRY(cnn_trainer_of(&trainer, model));
    CNN_TRY(check_options("predict", options));
    samples d = {.x = given_samples(options).x};
    CNN_TRY(check_x(model, "predict", d.x));
    d.count = d.x.items[0]->shape[0];
    cnn_tensor *results[CNN_MAX_INPUTS] = {NULL};
    session s;
    cnn_status status = open_session(&s, model, options, (cnn_tensor_list){0});
    for (int i = 0; status == CNN_OK && i < model->n_outputs; i++)
        status = new_result(&results[i], model->outputs[i], d.count);
    if (status == CNN_OK) status = predict_batches(&s, &d, results);
    for (int i = 0; i < model->n_outputs; i++) {
        if (status == CNN_OK)
            outs[i] = results[i];
        else
            cnn_tensor_release(results[i]);
    }
    return close_session(&s, status);
}

cnn_status cnn_model_predict(cnn_tensor **out, cnn_model *model, const cnn_fit_options *options) {
    cnn_tensor *results[CNN_MAX_INPUTS];
    CNN_TRY(cnn_model_predict_all(results, model, options));
    *out = results[0];
    for (int i = 1; i < model->n_outputs; i++) cnn_tensor_release(results[i]);
    return CNN_OK;
}

/* ---- fit ------------------------------------------------------------------------------------------------- */

/* The batches of the epoch that are left. */
static cnn_status train_batches(session *s, const samples *d, int steps) {
    cnn_fit_state *f = &s->state;
    cnn_batch b;
    cnn_progress_begin(&s->progress, steps);
    while (f->step < steps && !(f->step > 0 && s->control.stop_training)) {
        int step = f->step;
        CNN_TRY(poll_interrupt());
        CNN_TRY(notify(s, CNN_TRAIN_BATCH_BEGIN, step, NULL));
        CNN_TRY(run_batch(s, CNN_MODE_TRAIN, d, step, &b, &f->sums));
        f->logs = (cnn_logs){0};
        fill_logs(s, &f->logs, &f->sums, false);
        CNN_TRY(notify(s, CNN_TRAIN_BATCH_END, step, &f->logs));
        cnn_progress_step(&s->progress, step + 1, &f->logs);
        f->step = step + 1;
        CNN_TRY(notify(s, CNN_BATCH_SAVE, step, NULL));
    }
    return CNN_OK;
}

static bool validates(const session *s, const samples *validation, int epoch) {
    int every = s->options->validation_freq > 0 ? s->options->validation_freq : 1;
    return validation->count > 0 && (epoch + 1) % every == 0;
}

/* An epoch that was left in its middle gets the order that it had, and the generator goes on where it was. */
static void draw_order(session *s, const samples *train, int32_t *order) {
    cnn_random now = *cnn_default_random();
    if (s->options->no_shuffle) return;
    if (s->state.step > 0)
        *cnn_default_random() = s->state.order;
    else
        s->state.order = now;
    cnn_random_permutation(NULL, order, (int32_t)train->count);
    if (s->state.step > 0) *cnn_default_random() = now;
}

static cnn_status begin_epoch(session *s, const samples *train) {
    s->state.sums = (cnn_loss_sums){0};
    s->state.logs = (cnn_logs){0};
    CNN_TRY(notify(s, CNN_EPOCH_BEGIN, s->state.epoch, NULL));
    return cnn_trainer_reset_metrics(s->model, train->y.items);
}

static cnn_status run_epoch(session *s, const samples *train, const samples *validation, int32_t *order) {
    cnn_fit_state *f = &s->state;
    int epoch = f->epoch;
    draw_order(s, train, order);
    cnn_progress_epoch(&s->progress, epoch, s->control.epochs);
    if (f->step == 0) CNN_TRY(begin_epoch(s, train));
    CNN_TRY(train_batches(s, train, step_count(s, train->count, s->options->steps_per_epoch)));
    cnn_logs logs = f->logs;
    if (validates(s, validation, epoch))
        CNN_TRY(test(s, validation, s->options->validation_steps, false, &logs));
    cnn_progress_end(&s->progress, &logs);
    CNN_TRY(notify(s, CNN_EPOCH_END, epoch, &logs));
    CNN_TRY(cnn_history_add(f->history, &logs));
    f->epoch = epoch + 1;
    f->step = 0;
    return notify(s, CNN_EPOCH_SAVE, epoch, NULL);
}

static cnn_status run_epochs(session *s, const samples *train, const samples *validation, int32_t *order,
                             cnn_history *history) {
    cnn_fit_state *f = &s->state;
    *f = (cnn_fit_state){.epoch = s->options->initial_epoch,
                         .samples = train->count,
                         .batch_size = s->batch_size,
                         .history = history};
    history->first_epoch = f->epoch;
    s->control.state = f;
    CNN_TRY(cnn_trainer_reset_metrics(s->model, train->y.items));
    CNN_TRY(notify(s, CNN_TRAIN_BEGIN, 0, NULL));
    CNN_TRY(notify(s, CNN_RESUME, 0, NULL));
    while (f->epoch < s->control.epochs && (f->step > 0 || !s->control.stop_training))
        CNN_TRY(run_epoch(s, train, validation, order));
    CNN_TRY(notify(s, CNN_TRAIN_END, 0, NULL));
    return notify(s, CNN_TRAIN_DONE, 0, NULL);
}

/* The last part of x is for validation if a split is asked for. */
static cnn_status split(const cnn_fit_options *o, samples *train, samples *validation) {
    *train = given_samples(o);
    *validation = given_validation(o);
    int64_t count = train->x.items[0]->shape[0];
    train->count = count;
    train->training = true;
    if (validation->x.count > 0) {
        validation->count = validation->x.items[0]->shape[0];
    } else if (o->validation_split > 0) {
        *validation = *train;
        validation->training = false;
        train->count = (int64_t)((double)count * (1 - o->validation_split));
        validation->first = train->count;
        validation->count -= train->count;
        if (train->count == 0 || validation->count == 0)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "fit: validation_split = %g of %lld samples leaves a part empty",
                            o->validation_split, (long long)count);
    }
    if (train->count > INT32_MAX) return cnn_fail(CNN_ERROR_ARGUMENT, "fit: more than 2^31 samples");
    return CNN_OK;
}

static cnn_status check_fit(cnn_model *model, const cnn_fit_options *o) {
    const samples train = given_samples(o), validation = given_validation(o);
    CNN_TRY(cnn_model_expect_idle(model, "fit"));
    CNN_TRY(cnn_trainer_expect_compiled(model, "fit"));
    CNN_TRY(check_options("fit", o));
    CNN_TRY(check_samples(model, "fit", &train));
    CNN_TRY(check_class_weight(model, "fit", o));
    if (validation.x.count == 0) return CNN_OK;
    return check_samples(model, "fit: validation_data", &validation);
}

cnn_status cnn_model_fit(cnn_model *model, const cnn_fit_options *options, cnn_history **history) {
    CNN_TRY(check_fit(model, options));
    samples train, validation;
    CNN_TRY(split(options, &train, &validation));
    cnn_history *record = cnn_calloc(sizeof *record);
    int32_t *order = options->no_shuffle ? NULL : cnn_malloc((size_t)train.count * sizeof *order);
    session s = {.options = options};
    cnn_status status =
        record && (order || options->no_shuffle) ? CNN_OK : cnn_fail_memory((size_t)train.count * 4);
    train.order = order;
    if (status == CNN_OK) {
        status = open_session(&s, model, options, train.y);
        if (status == CNN_OK) status = run_epochs(&s, &train, &validation, order, record);
        close_session(&s, status);
    }
    cnn_free(order);
    if (history && record)
        *history = record;
    else
        cnn_history_release(record);
    return status;
}

cnn_status cnn_model_train_step(cnn_model *model, const cnn_fit_options *options, double *values,
                                int capacity) {
    samples d = given_samples(options);
    CNN_TRY(cnn_model_expect_idle(model, "train_on_batch"));
    CNN_TRY(cnn_trainer_expect_compiled(model, "train_on_batch"));
    CNN_TRY(check_samples(model, "train_on_batch", &d));
    CNN_TRY(check_class_weight(model, "train_on_batch", options));
    d.count = d.x.items[0]->shape[0];
    d.training = true;
    if (d.count > INT32_MAX) return cnn_fail(CNN_ERROR_ARGUMENT, "train_on_batch: more than 2^31 samples");
    cnn_fit_options step = {.x = options->x,
                            .y = options->y,
                            .sample_weight = options->sample_weight,
                            .xs = options->xs,
                            .ys = options->ys,
                            .sample_weights = options->sample_weights,
                            .class_weight = options->class_weight,
                            .class_weight_count = options->class_weight_count,
                            .batch_size = (int)d.count,
                            .no_shuffle = true};
    session s;
    cnn_status status = open_session(&s, model, &step, d.y);
    if (status == CNN_OK) status = cnn_trainer_reset_metrics(model, d.y.items);
    if (status == CNN_OK) status = train_batches(&s, &d, 1);
    const cnn_logs *logs = &s.state.logs;
    for (int i = 0; status == CNN_OK && i < logs->count && i < capacity; i++) values[i] = logs->values[i];
    return close_session(&s, status);
}

cnn_status cnn_model_train_on_batch(cnn_model *model, cnn_tensor *x, cnn_tensor *y, cnn_tensor *sample_weight,
                                    double *values, int capacity) {
    const cnn_fit_options options = {.x = x, .y = y, .sample_weight = sample_weight};
    return cnn_model_train_step(model, &options, values, capacity);
}
