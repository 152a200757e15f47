/* fit, evaluate and predict: loops over batches of samples, with what Keras does around them. */
#include "train/samples.h"
#include "train/stream.h"
#include "train/trainer.h"
#include "train/callback.h"
#include "train/history.h"
#include "train/progress.h"
#include "base/memory.h"
#include "base/cpu.h"
#include "base/random.h"
#include "base/status.h"
#include <limits.h>
#include <string.h>

/* What a pass runs over: arrays, or a dataset. */
typedef struct feed {
    cnn_samples arrays;
    cnn_dataset *dataset; /* NULL: arrays; borrowed */
    cnn_stream stream;    /* over the dataset; between its passes it may be closed */
    int limit;            /* batches at most; 0: all */
    bool goes_on;         /* from where the pass before it ended, round and round: the limit alone ends it */
} feed;

/* A run of fit, evaluate or predict. */
typedef struct session {
    cnn_model *model;
    const char *who; /* for messages */
    const cnn_fit_options *options;
    int batch_size; /* of arrays */
    cnn_progress progress;
    cnn_run_control control, *outer; /* outer: of the run whose callback began this one */
    cnn_fit_state state;             /* of training */
    cnn_logs last;                   /* of its last whole epoch */
    cnn_metric_state outer_metrics;  /* and what it has measured so far */
    cnn_batch_memory memory;
    const char *names[CNN_MAX_FIGURES], *val_names[CNN_MAX_FIGURES];
    char *val_text; /* the memory of val_names */
} session;

/* ---- checks -------------------------------------------------------------------------------------------- */

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

/* What says how arrays become batches has no place where a dataset gives them. */
static cnn_status check_dataset_options(const char *who, const cnn_fit_options *o) {
    const char *name = o->batch_size > 0              ? "batch_size"
                       : cnn_samples_given(o).y.count ? "y"
                       : o->validation_split > 0      ? "validation_split"
                       : o->sample_weight             ? "sample_weight"
                                                      : NULL;
    if (!name) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT,
                    "%s: '%s' is for arrays; a dataset gives batches of inputs, labels and perhaps weights",
                    who, name);
}

/* ---- feeds ----------------------------------------------------------------------------------------------- */

static int step_count(const session *s, const feed *f) {
    int64_t all = f->dataset ? cnn_dataset_cardinality(f->dataset)
                             : (f->arrays.count + s->batch_size - 1) / s->batch_size;
    bool limited = f->limit > 0 && (all < 0 || f->goes_on || f->limit < all);
    return limited ? f->limit : (int)(all < INT_MAX ? all : INT_MAX);
}

static cnn_status expect_end(const char *who, const feed *f, const char *limit_name) {
    if (!f->dataset || f->limit > 0 || cnn_dataset_cardinality(f->dataset) >= 0) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: the dataset repeats for ever; '%s' must tell when to stop", who,
                    limit_name);
}

/* Opens the stream of a dataset, and sees to it that labels are there for those who need them. */
static cnn_status open_stream(feed *f, cnn_model *model, const char *who, bool labels,
                              const cnn_iterator_options *options) {
    CNN_TRY(cnn_stream_open(&f->stream, model, who, f->dataset, options));
    if (!labels || f->stream.batch.y.count > 0) return CNN_OK;
    cnn_stream_close(&f->stream);
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: the dataset's elements have no labels", who);
}

/* Of all samples, or of a dataset's batch at hand: what metrics look at before they begin. */
static cnn_tensor *const *labels_of(const feed *f) {
    return f->dataset ? f->stream.batch.y.items : f->arrays.y.items;
}

/* Batch number `step` of the pass; *more = false where it is over. */
static cnn_status next_batch(session *s, feed *f, int step, cnn_batch *b, bool *more) {
    int64_t start = f->dataset ? 0 : (int64_t)step * s->batch_size;
    *more = f->limit == 0 || step < f->limit;
    if (*more && f->dataset) {
        CNN_TRY(cnn_stream_next(&f->stream, s->model, s->who, more));
        if (!*more && f->goes_on) CNN_TRY(cnn_stream_next(&f->stream, s->model, s->who, more));
    } else if (*more) {
        *more = start < f->arrays.count;
    }
    if (!*more) return CNN_OK;
    const cnn_samples *samples = f->dataset ? &f->stream.batch : &f->arrays;
    return cnn_samples_batch(b, &s->memory, s->model, samples, start, f->dataset ? INT64_MAX : s->batch_size);
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
    return cnn_samples_for_validation(o).x.count > 0 || o->validation_split > 0 || o->validation_dataset;
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

static void retain(cnn_tensor_list list) {
    for (int i = 0; i < list.count; i++)
        if (list.items[i]) cnn_tensor_retain(list.items[i]);
}

static void release(cnn_tensor_list list) {
    for (int i = 0; i < list.count; i++) cnn_tensor_release(list.items[i]);
}

/* The arrays stay for the run: callbacks may drop the caller's references. */
static void hold_arrays(const cnn_fit_options *o, void (*change)(cnn_tensor_list list)) {
    const cnn_samples all[] = {cnn_samples_given(o), cnn_samples_for_validation(o)};
    for (int i = 0; i < 2; i++) {
        change(all[i].x);
        change(all[i].y);
        change(all[i].weight);
    }
}

/* The size of batches of arrays: not above the number of samples. */
static int batch_size_of(const cnn_fit_options *o) {
    const cnn_samples all[] = {cnn_samples_given(o), cnn_samples_for_validation(o)};
    int64_t size = o->batch_size > 0 ? o->batch_size : 32, most = 0;
    for (int i = 0; i < 2; i++)
        if (all[i].x.count > 0 && all[i].x.items[0]->shape[0] > most) most = all[i].x.items[0]->shape[0];
    return (int)(most > 0 && most < size ? most : size);
}

static cnn_status open_session(session *s, cnn_model *model, const char *who,
                               const cnn_fit_options *options) {
    *s = (session){.model = model, .who = who, .options = options, .batch_size = batch_size_of(options)};
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
    cnn_dataset_retain(options->dataset);
    cnn_dataset_retain(options->validation_dataset);
    s->outer = model->run;
    model->run = &s->control;
    if (s->outer) cnn_trainer_take_metrics(model, &s->outer_metrics);
    cnn_trainer_touch_weights(model);
    return make_names(s);
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
    cnn_dataset_release(s->options->dataset);
    cnn_dataset_release(s->options->validation_dataset);
    cnn_batch_memory_free(&s->memory);
    cnn_free(s->val_text);
    return status;
}

static cnn_status poll_interrupt(void) {
    return cnn_interrupted() ? cnn_fail(CNN_ERROR_INTERRUPTED, "interrupted") : CNN_OK;
}

/* ---- evaluate -------------------------------------------------------------------------------------------- */

/* A batch through the model; its losses and metrics join those of the pass so far. */
static cnn_status run_batch(session *s, cnn_mode mode, const cnn_batch *b, cnn_loss_sums *sums) {
    double losses[1 + CNN_MAX_FIGURES];
    const cnn_tensor *outputs[CNN_MAX_INPUTS];
    CNN_TRY(cnn_trainer_run(s->model, mode, b, losses, outputs));
    CNN_TRY(cnn_trainer_update_metrics(s->model, b, outputs));
    add_losses(sums, s->model->trainer, losses, b->count);
    return CNN_OK;
}

/* Appends loss and metrics over the samples to logs. */
static cnn_status test(session *s, feed *f, bool show, cnn_logs *logs) {
    CNN_TRY(cnn_trainer_reset_metrics(s->model, labels_of(f)));
    CNN_TRY(notify(s, CNN_TEST_BEGIN, 0, NULL));
    cnn_loss_sums sums = {0};
    cnn_batch b;
    if (show) cnn_progress_begin(&s->progress, step_count(s, f));
    for (int step = 0;; step++) {
        bool more;
        CNN_TRY(poll_interrupt());
        CNN_TRY(next_batch(s, f, step, &b, &more));
        if (!more) break;
        CNN_TRY(notify(s, CNN_TEST_BATCH_BEGIN, step, NULL));
        CNN_TRY(run_batch(s, CNN_MODE_TEST, &b, &sums));
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

/* Checks what evaluate or predict is to run over: arrays at once, a dataset by its first batch. */
static cnn_status open_feed(feed *f, cnn_model *model, const char *who, const cnn_fit_options *o,
                            bool labels) {
    *f = (feed){.dataset = o->dataset, .limit = o->validation_steps};
    CNN_TRY(check_options(who, o));
    if (o->dataset) {
        CNN_TRY(check_dataset_options(who, o));
        CNN_TRY(expect_end(who, f, "steps"));
        return open_stream(f, model, who, labels, &(cnn_iterator_options){0});
    }
    f->arrays = cnn_samples_given(o);
    CNN_TRY(labels ? cnn_samples_check(model, who, &f->arrays)
                   : cnn_samples_check_x(model, who, f->arrays.x));
    f->arrays.count = f->arrays.x.items[0]->shape[0];
    return CNN_OK;
}

cnn_status cnn_model_evaluate(cnn_model *model, const cnn_fit_options *options, double *values,
                              int capacity) {
    feed f;
    session s;
    cnn_logs logs = {0};
    CNN_TRY(cnn_trainer_expect_compiled(model, "evaluate"));
    CNN_TRY(open_feed(&f, model, "evaluate", options, true));
    cnn_status status = open_session(&s, model, "evaluate", options);
    if (status == CNN_OK) status = test(&s, &f, true, &logs);
    for (int i = 0; status == CNN_OK && i < logs.count && i < capacity; i++) values[i] = logs.values[i];
    cnn_stream_close(&f.stream);
    return close_session(&s, status);
}

/* ---- predict --------------------------------------------------------------------------------------------- */

/* An output's rows of all batches: room for `capacity` rows, of which `count` are there. */
typedef struct rows {
    cnn_tensor *room;
    int64_t count, capacity;
} rows;

static cnn_status new_room(cnn_tensor **out, const cnn_tensor *output, int64_t count) {
    int64_t shape[CNN_MAX_RANK];
    memcpy(shape, output->shape, sizeof shape);
    shape[0] = count;
    return cnn_tensor_alloc(out, output->dtype, output->rank, shape);
}

/* expected: how many rows there will be, as far as is known. */
static cnn_status add_rows(rows *r, const cnn_tensor *output, int64_t count, int64_t expected) {
    size_t bytes = cnn_tensor_bytes(output), row = bytes / (size_t)count;
    if (r->count + count > r->capacity) {
        int64_t capacity = r->count + count > 2 * r->capacity ? r->count + count : 2 * r->capacity;
        if (capacity < expected) capacity = expected;
        cnn_tensor *wider;
        CNN_TRY(new_room(&wider, output, capacity));
        if (r->room) memcpy(wider->data, r->room->data, (size_t)r->count * row);
        cnn_tensor_release(r->room);
        r->room = wider;
        r->capacity = capacity;
    }
    memcpy((char *)r->room->data + (size_t)r->count * row, output->data, bytes);
    r->count += count;
    return CNN_OK;
}

static cnn_status predict_batches(session *s, feed *f, rows *results) {
    CNN_TRY(notify(s, CNN_PREDICT_BEGIN, 0, NULL));
    int steps = step_count(s, f);
    cnn_logs none = {0};
    cnn_batch b;
    cnn_progress_begin(&s->progress, steps);
    for (int step = 0;; step++) {
        bool more;
        const cnn_tensor *outputs[CNN_MAX_INPUTS];
        CNN_TRY(poll_interrupt());
        CNN_TRY(next_batch(s, f, step, &b, &more));
        if (!more) break;
        CNN_TRY(notify(s, CNN_PREDICT_BATCH_BEGIN, step, NULL));
        CNN_TRY(cnn_trainer_run(s->model, CNN_MODE_PREDICT, &b, NULL, outputs));
        int64_t expected = f->dataset ? steps * b.count : f->arrays.count;
        for (int i = 0; i < s->model->n_outputs; i++)
            CNN_TRY(add_rows(&results[i], outputs[i], b.count, expected));
        CNN_TRY(notify(s, CNN_PREDICT_BATCH_END, step, &none));
        cnn_progress_step(&s->progress, step + 1, &none);
    }
    cnn_progress_end(&s->progress, &none);
    return notify(s, CNN_PREDICT_END, 0, NULL);
}

/* The rows there are, as a tensor of their own. */
static cnn_status finish_rows(cnn_tensor **out, const rows *r) {
    if (r->count == r->capacity) {
        *out = cnn_tensor_retain(r->room);
        return CNN_OK;
    }
    return cnn_view(out, r->room, 0, r->count);
}

cnn_status cnn_model_predict_all(cnn_tensor **outs, cnn_model *model, const cnn_fit_options *options) {
    cnn_trainer *trainer;
    feed f;
    CNN_TRY(cnn_trainer_of(&trainer, model));
    CNN_TRY(open_feed(&f, model, "predict", options, false));
    rows results[CNN_MAX_INPUTS] = {{0}};
    cnn_tensor *made[CNN_MAX_INPUTS] = {NULL};
    session s;
    cnn_status status = open_session(&s, model, "predict", options);
    if (status == CNN_OK) status = predict_batches(&s, &f, results);
    for (int i = 0; i < model->n_outputs; i++) {
        if (status == CNN_OK) status = finish_rows(&made[i], &results[i]);
        cnn_tensor_release(results[i].room);
    }
    for (int i = 0; i < model->n_outputs; i++) {
        if (status == CNN_OK)
            outs[i] = made[i];
        else
            cnn_tensor_release(made[i]);
    }
    cnn_stream_close(&f.stream);
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
static cnn_status train_batches(session *s, feed *train) {
    cnn_fit_state *f = &s->state;
    cnn_batch b;
    cnn_progress_begin(&s->progress, step_count(s, train));
    while (!(f->step > 0 && s->control.stop_training)) {
        int step = f->step;
        bool more;
        CNN_TRY(poll_interrupt());
        CNN_TRY(next_batch(s, train, step, &b, &more));
        if (!more) break;
        CNN_TRY(notify(s, CNN_TRAIN_BATCH_BEGIN, step, NULL));
        CNN_TRY(run_batch(s, CNN_MODE_TRAIN, &b, &f->sums));
        f->logs = (cnn_logs){0};
        fill_logs(s, &f->logs, &f->sums, false);
        CNN_TRY(notify(s, CNN_TRAIN_BATCH_END, step, &f->logs));
        cnn_progress_step(&s->progress, step + 1, &f->logs);
        f->step = step + 1;
        CNN_TRY(notify(s, CNN_BATCH_SAVE, step, NULL));
    }
    return CNN_OK;
}

/* The same, and how long it took. */
static cnn_status time_batches(session *s, feed *train) {
    double start = cnn_seconds(), waited = train->dataset ? cnn_iterator_waited(train->stream.iterator) : 0;
    cnn_status status = train_batches(s, train);
    s->state.history->seconds += cnn_seconds() - start;
    if (train->dataset) s->state.history->waited += cnn_iterator_waited(train->stream.iterator) - waited;
    return status;
}

static bool validates(const session *s, const feed *validation, int epoch) {
    int every = s->options->validation_freq > 0 ? s->options->validation_freq : 1;
    return (validation->dataset || validation->arrays.count > 0) && (epoch + 1) % every == 0;
}

/* An epoch that was left in its middle gets the order that it had, and the generator goes on where it was. */
static void draw_order(session *s, const feed *train, int32_t *order) {
    cnn_random now = *cnn_default_random();
    if (!order) return;
    if (s->state.step > 0)
        *cnn_default_random() = s->state.order;
    else
        s->state.order = now;
    cnn_random_permutation(NULL, order, (int32_t)train->arrays.count);
    if (s->state.step > 0) *cnn_default_random() = now;
}

static cnn_status begin_epoch(session *s, const feed *train) {
    s->state.sums = (cnn_loss_sums){0};
    s->state.logs = (cnn_logs){0};
    CNN_TRY(notify(s, CNN_EPOCH_BEGIN, s->state.epoch, NULL));
    return cnn_trainer_reset_metrics(s->model, labels_of(train));
}

/* Each validation of an epoch sees the same iteration of its dataset, in whichever process it runs. */
static cnn_status open_validation(feed *validation, cnn_model *model, int epoch) {
    const cnn_iterator_options options = {.numbered = true, .iteration = epoch};
    if (!validation->dataset || validation->stream.iterator) return CNN_OK;
    return open_stream(validation, model, "fit: validation_data", true, &options);
}

static cnn_status validate(session *s, feed *validation, int epoch, cnn_logs *logs) {
    CNN_TRY(open_validation(validation, s->model, epoch));
    cnn_status status = test(s, validation, false, logs);
    cnn_stream_close(&validation->stream);
    return status;
}

static cnn_status run_epoch(session *s, feed *train, feed *validation, int32_t *order) {
    cnn_fit_state *f = &s->state;
    int epoch = f->epoch;
    draw_order(s, train, order);
    cnn_progress_epoch(&s->progress, epoch, s->control.epochs);
    if (f->step == 0) CNN_TRY(begin_epoch(s, train));
    CNN_TRY(time_batches(s, train));
    cnn_logs logs = f->logs;
    if (validates(s, validation, epoch)) CNN_TRY(validate(s, validation, epoch, &logs));
    cnn_progress_end(&s->progress, &logs);
    CNN_TRY(notify(s, CNN_EPOCH_END, epoch, &logs));
    s->last = logs;
    CNN_TRY(cnn_history_add(f->history, &logs));
    f->epoch = epoch + 1;
    f->step = 0;
    return notify(s, CNN_EPOCH_SAVE, epoch, NULL);
}

static void weigh_classes(cnn_samples *samples, const cnn_fit_options *o) {
    samples->class_weight = o->class_weight;
    samples->class_weight_count = o->class_weight_count;
}

/* A run that goes on where another process left it sees what that one would have seen next. */
static cnn_status resume_stream(session *s, feed *train) {
    const cnn_fit_state *f = &s->state;
    int64_t done = f->epoch - s->options->initial_epoch, all = cnn_dataset_cardinality(train->dataset);
    if (done == 0 && f->step == 0) return CNN_OK;
    cnn_iterator_options options = {
        .numbered = true, .iteration = done, .position = f->step, .iterations = s->control.epochs - f->epoch};
    if (train->goes_on) {
        int64_t position = done * train->limit + f->step;
        options.iteration = all > 0 ? position / all : 0;
        options.position = all > 0 ? position % all : position;
        options.iterations = INT64_MAX;
    }
    cnn_stream_close(&train->stream);
    CNN_TRY(open_stream(train, s->model, "fit", true, &options));
    weigh_classes(&train->stream.batch, s->options);
    return CNN_OK;
}

static cnn_status run_epochs(session *s, feed *train, feed *validation, int32_t *order,
                             cnn_history *history) {
    cnn_fit_state *f = &s->state;
    bool streams = train->dataset;
    *f = (cnn_fit_state){.epoch = s->options->initial_epoch,
                         .samples = streams ? cnn_dataset_cardinality(train->dataset) : train->arrays.count,
                         .batch_size = streams ? (int)train->stream.batch.count : s->batch_size,
                         .history = history};
    history->first_epoch = f->epoch;
    s->control.state = f;
    CNN_TRY(cnn_trainer_reset_metrics(s->model, labels_of(train)));
    CNN_TRY(notify(s, CNN_TRAIN_BEGIN, 0, NULL));
    CNN_TRY(notify(s, CNN_RESUME, 0, NULL));
    if (streams && f->epoch < s->control.epochs) CNN_TRY(resume_stream(s, train));
    while (f->epoch < s->control.epochs && (f->step > 0 || !s->control.stop_training))
        CNN_TRY(run_epoch(s, train, validation, order));
    CNN_TRY(notify(s, CNN_TRAIN_END, 0, &s->last));
    return notify(s, CNN_TRAIN_DONE, 0, NULL);
}

/* The last part of the arrays is for validation if a split is asked for. */
static cnn_status split(const cnn_fit_options *o, cnn_samples *train, cnn_samples *validation) {
    int64_t count = train->x.items[0]->shape[0];
    train->count = count;
    if (o->validation_split > 0 && validation->x.count == 0 && !o->validation_dataset) {
        *validation = *train;
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

static cnn_status open_training(feed *train, cnn_model *model, const cnn_fit_options *o) {
    *train = (feed){.dataset = o->dataset, .limit = o->steps_per_epoch};
    if (!o->dataset) {
        train->arrays = cnn_samples_given(o);
        return cnn_samples_check(model, "fit", &train->arrays);
    }
    train->goes_on = train->limit > 0;
    CNN_TRY(check_dataset_options("fit", o));
    CNN_TRY(expect_end("fit", train, "steps_per_epoch"));
    int epochs = (o->epochs > 0 ? o->epochs : 1) - o->initial_epoch;
    const cnn_iterator_options options = {.iterations = train->goes_on ? INT64_MAX : epochs > 0 ? epochs : 1};
    return open_stream(train, model, "fit", true, &options);
}

/* Checks what is to be trained and validated with; opens the streams of datasets. */
static cnn_status open_feeds(feed *train, feed *validation, cnn_model *model, const cnn_fit_options *o) {
    *train = (feed){0};
    *validation = (feed){.dataset = o->validation_dataset, .limit = o->validation_steps};
    CNN_TRY(cnn_model_expect_idle(model, "fit"));
    CNN_TRY(cnn_trainer_expect_compiled(model, "fit"));
    CNN_TRY(check_options("fit", o));
    CNN_TRY(open_training(train, model, o));
    CNN_TRY(check_class_weight(model, "fit", o));
    validation->arrays = cnn_samples_for_validation(o);
    if (validation->arrays.x.count > 0) {
        CNN_TRY(cnn_samples_check(model, "fit: validation_data", &validation->arrays));
        validation->arrays.count = validation->arrays.x.items[0]->shape[0];
    }
    if (!o->dataset) CNN_TRY(split(o, &train->arrays, &validation->arrays));
    weigh_classes(o->dataset ? &train->stream.batch : &train->arrays, o);
    CNN_TRY(expect_end("fit: validation_data", validation, "validation_steps"));
    return open_validation(validation, model, o->initial_epoch);
}

/* The order of the arrays' samples, drawn anew each epoch; NULL where there is none to draw. */
static cnn_status new_order(int32_t **order, feed *train, const cnn_fit_options *o) {
    size_t bytes = (size_t)train->arrays.count * sizeof **order;
    *order = NULL;
    if (o->no_shuffle || train->dataset) return CNN_OK;
    if (!(*order = cnn_malloc(bytes))) return cnn_fail_memory(bytes);
    train->arrays.order = *order;
    return CNN_OK;
}

cnn_status cnn_model_fit(cnn_model *model, const cnn_fit_options *options, cnn_history **history) {
    feed train, validation;
    int32_t *order = NULL;
    cnn_history *record = NULL;
    cnn_status status = open_feeds(&train, &validation, model, options);
    if (status == CNN_OK && !(record = cnn_calloc(sizeof *record))) status = cnn_fail_memory(sizeof *record);
    if (status == CNN_OK) status = new_order(&order, &train, options);
    if (status == CNN_OK) {
        session s;
        status = open_session(&s, model, "fit", options);
        if (status == CNN_OK) status = run_epochs(&s, &train, &validation, order, record);
        close_session(&s, status);
    }
    cnn_stream_close(&train.stream);
    cnn_stream_close(&validation.stream);
    cnn_free(order);
    if (history && record)
        *history = record;
    else
        cnn_history_release(record);
    return status;
}

cnn_status cnn_model_train_step(cnn_model *model, const cnn_fit_options *options, double *values,
                                int capacity) {
    feed f = {.arrays = cnn_samples_given(options)};
    cnn_samples *d = &f.arrays;
    CNN_TRY(cnn_model_expect_idle(model, "train_on_batch"));
    CNN_TRY(cnn_trainer_expect_compiled(model, "train_on_batch"));
    CNN_TRY(cnn_samples_check(model, "train_on_batch", d));
    CNN_TRY(check_class_weight(model, "train_on_batch", options));
    d->count = d->x.items[0]->shape[0];
    weigh_classes(d, options);
    if (d->count > INT32_MAX) return cnn_fail(CNN_ERROR_ARGUMENT, "train_on_batch: more than 2^31 samples");
    cnn_fit_options step = {.x = options->x,
                            .y = options->y,
                            .sample_weight = options->sample_weight,
                            .xs = options->xs,
                            .ys = options->ys,
                            .sample_weights = options->sample_weights,
                            .batch_size = (int)d->count};
    session s;
    cnn_status status = open_session(&s, model, "train_on_batch", &step);
    if (status == CNN_OK) status = cnn_trainer_reset_metrics(model, d->y.items);
    if (status == CNN_OK) status = train_batches(&s, &f);
    const cnn_logs *logs = &s.state.logs;
    for (int i = 0; status == CNN_OK && i < logs->count && i < capacity; i++) values[i] = logs->values[i];
    return close_session(&s, status);
}

cnn_status cnn_model_train_on_batch(cnn_model *model, cnn_tensor *x, cnn_tensor *y, cnn_tensor *sample_weight,
                                    double *values, int capacity) {
    const cnn_fit_options options = {.x = x, .y = y, .sample_weight = sample_weight};
    return cnn_model_train_step(model, &options, values, capacity);
}
