/* BackupAndRestore and ModelCheckpoint: a training that is interrupted, wherever, ends as one that never was, bit for
 * bit; and what is saved on the way is there, under the right name, or the old file still is. */
#include "tensor_test.h"
#include "io/h5.h"
#include "train/callback.h"
#include "train/history.h"
#include "train/optimizer.h"
#include "train/trainer.h"
#include "base/memory.h"
#include "base/random.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAMPLES = 60, CLASSES = 3, EPOCHS = 7, PATH = 160 };

/* In memory where there is such a place: a disk takes its time for each of hundreds of backups. */
static char folder[] = "/dev/shm/test_backup_XXXXXX";

static const char *in_folder(const char *name) {
    static char paths[8][PATH];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH, "%s/%s", folder, name);
    return path;
}

static bool is_there(const char *name) {
    return access(in_folder(name), F_OK) == 0;
}

/* ---- a model and what trains it --------------------------------------------------------------------------- */

/* Dropout, BatchNormalization and an optimizer with state; images of noise with a class-wide pattern in them. */
static cnn_model *new_model(const char *optimizer, int filters) {
    cnn_model *model = NULL;
    char config[256];
    OK(cnn_sequential_new(&model, NULL));
    snprintf(config, sizeof config, "{\"filters\": %d, \"kernel_size\": 3, \"input_shape\": [6, 6, 1]}",
             filters);
    OK(cnn_model_add_new(model, "Conv2D", config));
    OK(cnn_model_add_new(model, "BatchNormalization", NULL));
    OK(cnn_model_add_new(model, "Dropout", "{\"rate\": 0.3}"));
    OK(cnn_model_add_new(model, "Flatten", NULL));
    OK(cnn_model_add_new(model, "Dropout", "{\"rate\": 0.2}"));
    OK(cnn_model_add_new(model, "Dense", "{\"units\": 3, \"activation\": \"softmax\"}"));
    snprintf(
        config, sizeof config,
        "{\"optimizer\": %s, \"loss\": \"sparse_categorical_crossentropy\", \"metrics\": [\"accuracy\"]}",
        optimizer);
    OK(cnn_model_compile(model, config));
    return model;
}

static const char adam[] = "{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": 0.03}}";

static cnn_tensor *images, *labels;

static void make_data(void) {
    cnn_random random = {42, 0};
    OK(cnn_tensor_new(&images, CNN_FLOAT32, SHAPE(SAMPLES, 6, 6, 1)));
    OK(cnn_tensor_new(&labels, CNN_INT32, SHAPE(SAMPLES)));
    cnn_random_normal(&random, cnn_f32(images), images->size, 0, 1);
    for (int i = 0; i < SAMPLES; i++) {
        cnn_i32(labels)[i] = i * 7 % CLASSES;
        for (int k = 0; k < 36; k++) cnn_f32(images)[36 * i + k] += k % CLASSES == i * 7 % CLASSES ? 0.5f : 0;
    }
}

/* A callback that fails at an event of a run, which is as sudden as an end can be within a process. */
typedef struct interrupter {
    cnn_callback head;
    cnn_event event;
    int left; /* how many such events it lets pass */
} interrupter;

static cnn_status interrupt(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    interrupter *i = (interrupter *)callback;
    (void)index;
    (void)logs;
    return event == i->event && i->left-- == 0 ? CNN_ERROR_CALLBACK : CNN_OK;
}

static const cnn_param no_params[] = {{0}};
static const cnn_callback_class interrupter_class = {
    .class = CNN_CLASS("callback", "interrupter", NULL, interrupter, no_params), .on = interrupt};

/* How a training is done. */
typedef struct plan {
    const char *optimizer, *save_freq; /* save_freq NULL: without backup */
    const char *backup_options;
    int samples, batch_size;
    bool with_others;
} plan;

static const plan usual = {
    .optimizer = adam, .save_freq = "\"epoch\"", .backup_options = "", .batch_size = 8, .with_others = true};

/* What a training leaves. */
typedef struct outcome {
    cnn_status status;
    float *weights;
    int64_t count;
    cnn_history *history;
    char *log, *csv;
    size_t log_size;
} outcome;

static cnn_callback *new_callback(const char *class_name, const char *format, const char *a, const char *b,
                                  const char *c) {
    char config[512];
    cnn_callback *callback = NULL;
    snprintf(config, sizeof config, format, a, b, c);
    OK(cnn_callback_new(&callback, class_name, config));
    return callback;
}

static int make_callbacks(cnn_callback **list, const plan *p) {
    int count = 0;
    if (p->save_freq)
        list[count++] = new_callback("BackupAndRestore", "{\"backup_dir\": \"%s\", \"save_freq\": %s %s}",
                                     in_folder("backup"), p->save_freq, p->backup_options);
    if (!p->with_others) return count;
    list[count++] =
        new_callback("ReduceLROnPlateau",
                     "{\"patience\": 1, \"factor\": 0.7, \"verbose\": 1, \"cooldown\": 1%s%s%s}", "", "", "");
    list[count++] = new_callback("CSVLogger", "{\"filename\": \"%s\"%s%s}", in_folder("log.csv"), "", "");
    list[count++] = new_callback("ModelCheckpoint",
                                 "{\"filepath\": \"%s\", \"save_best_only\": true, \"verbose\": 1, "
                                 "\"save_weights_only\": true, \"monitor\": \"loss\"%s%s}",
                                 in_folder("best.h5"), "", "");
    list[count++] = new_callback("EarlyStopping",
                                 "{\"patience\": 2, \"monitor\": \"val_loss\", \"verbose\": 1, "
                                 "\"restore_best_weights\": true%s%s%s}",
                                 "", "", "");
    return count;
}

static char *read_text(const char *name) {
    char *text = calloc(1, 65536);
    FILE *file = fopen(in_folder(name), "rb");
    if (file) {
        text[fread(text, 1, 65535, file)] = '\0';
        fclose(file);
    }
    return text;
}

static void keep_weights(outcome *o, const cnn_model *model) {
    cnn_layer *layer = cnn_model_as_layer((cnn_model *)model);
    o->count = cnn_model_count_params(model);
    float *to = o->weights = calloc((size_t)o->count, sizeof(float));
    for (int i = 0; i < cnn_layer_variable_count(layer); i++) {
        const cnn_tensor *value = cnn_layer_variable(layer, i)->value;
        memcpy(to, value->data, cnn_tensor_bytes(value));
        to += value->size;
    }
}

/* One process's part of a training, with its own seed; stop: NULL, or what ends it. */
static outcome train(const plan *p, uint64_t seed, interrupter *stop) {
    outcome o = {0};
    cnn_callback *callbacks[8];
    cnn_set_seed(seed);
    cnn_model *model = new_model(p->optimizer, 4);
    int made = make_callbacks(callbacks, p), count = made;
    if (stop) callbacks[count++] = &stop->head;
    FILE *log = open_memstream(&o.log, &o.log_size);
    o.status = cnn_model_fit(model,
                             &(cnn_fit_options){.x = images,
                                                .y = labels,
                                                .validation_split = 0.25,
                                                .batch_size = p->batch_size,
                                                .epochs = EPOCHS,
                                                .log = log,
                                                .callbacks = callbacks,
                                                .callback_count = count},
                             &o.history);
    fclose(log);
    keep_weights(&o, model);
    o.csv = read_text("log.csv");
    for (int i = 0; i < made; i++) cnn_callback_release(callbacks[i]);
    cnn_model_release(model);
    return o;
}

static void free_outcome(outcome *o) {
    free(o->weights);
    free(o->log);
    free(o->csv);
    cnn_history_release(o->history);
}

static void clear_folder(const char *name) {
    DIR *list = opendir(in_folder(name));
    if (!list) return;
    for (const struct dirent *entry; (entry = readdir(list));)
        if (entry->d_type == DT_REG) unlinkat(dirfd(list), entry->d_name, 0);
    closedir(list);
    if (*name) rmdir(in_folder(name));
}

static void clear(void) {
    clear_folder("backup");
    clear_folder("");
}

/* The same bits; what was said is the end of what was said without interruption. */
static void assert_same(const outcome *got, const outcome *whole) {
    assert_int_equal(got->status, CNN_OK);
    assert_int_equal(got->count, whole->count);
    assert_memory_equal(got->weights, whole->weights, (size_t)whole->count * sizeof(float));
    assert_string_equal(got->csv, whole->csv);
    assert_int_equal(cnn_history_count(got->history), cnn_history_count(whole->history));
    assert_int_equal(cnn_history_epochs(got->history), cnn_history_epochs(whole->history));
    for (int i = 0; i < cnn_history_count(whole->history); i++) {
        assert_string_equal(cnn_history_name(got->history, i), cnn_history_name(whole->history, i));
        for (int epoch = 0; epoch < cnn_history_epochs(whole->history); epoch++) {
            double a = cnn_history_value(got->history, i, epoch),
                   b = cnn_history_value(whole->history, i, epoch);
            assert_memory_equal(&a, &b, sizeof a);
        }
    }
    assert_true(got->log_size <= whole->log_size);
    assert_string_equal(got->log, whole->log + whole->log_size - got->log_size);
}

/* Interrupts a training once for each of the numbers, then lets it end. */
static outcome train_in_parts(const plan *p, cnn_event event, const int *passes, int parts) {
    for (int i = 0; i < parts; i++) {
        interrupter stop = {{&interrupter_class.class, NULL}, event, passes[i]};
        outcome part = train(p, i == 0 ? 7 : (uint64_t)(100 + i), &stop);
        assert_int_equal(part.status, CNN_ERROR_CALLBACK);
        free_outcome(&part);
        assert_true(is_there("backup/latest.h5"));
    }
    return train(p, 9999, NULL);
}

static outcome train_whole(const plan *p) {
    plan without = *p;
    without.save_freq = NULL;
    clear();
    outcome whole = train(&without, 7, NULL);
    clear();
    return whole;
}

static void expect_resumes(const plan *p, const outcome *whole, cnn_event event, const int *passes,
                           int parts) {
    outcome last = train_in_parts(p, event, passes, parts);
    assert_same(&last, whole);
    assert_false(is_there("backup"));
    free_outcome(&last);
    clear();
}

/* ---- resuming --------------------------------------------------------------------------------------------- */

static void a_training_is_worth_testing(void **state) {
    (void)state;
    outcome whole = train_whole(&usual);
    OK(whole.status);
    assert_non_null(strstr(whole.log, "reducing learning rate"));
    assert_non_null(strstr(whole.log, "Restoring model weights"));
    assert_non_null(strstr(whole.log, "loss improved from inf to"));
    outcome other = train(&(plan){.optimizer = adam, .batch_size = 8, .with_others = true}, 8, NULL);
    assert_memory_not_equal(other.weights, whole.weights, (size_t)whole.count * sizeof(float));
    free_outcome(&other);
    free_outcome(&whole);
    clear();
}

static void goes_on_after_any_epoch(void **state) {
    (void)state;
    outcome whole = train_whole(&usual);
    int epochs = cnn_history_epochs(whole.history);
    for (int i = 0; i < epochs; i += 2) {
        expect_resumes(&usual, &whole, CNN_EPOCH_END, (int[]){i}, 1);
        expect_resumes(&usual, &whole, CNN_TRAIN_BATCH_END, (int[]){6 * i + 3}, 1);
    }
    expect_resumes(&usual, &whole, CNN_TRAIN_END, (int[]){0, 0}, 2);
    expect_resumes(&usual, &whole, CNN_EPOCH_BEGIN, (int[]){0, 0, 2, 1}, 4);
    free_outcome(&whole);
}

static void goes_on_within_epochs(void **state) {
    (void)state;
    plan p = usual;
    p.save_freq = "4"; /* 6 batches are an epoch: backups fall into epochs and onto their ends */
    outcome whole = train_whole(&p);
    int batches = 6 * cnn_history_epochs(whole.history);
    for (int i = 2; i < batches; i += 7) expect_resumes(&p, &whole, CNN_TRAIN_BATCH_BEGIN, (int[]){i}, 1);
    expect_resumes(&p, &whole, CNN_TRAIN_BATCH_END, (int[]){5, 6, 4, 9}, 4);
    expect_resumes(&p, &whole, CNN_TEST_BATCH_END, (int[]){1, 3}, 2);
    expect_resumes(&p, &whole, CNN_TRAIN_END, (int[]){0}, 1);
    p.save_freq = "1";
    expect_resumes(&p, &whole, CNN_TRAIN_BATCH_BEGIN, (int[]){1, 1, 2, 3, 1}, 5);
    free_outcome(&whole);
}

static void goes_on_with_other_optimizers(void **state) {
    (void)state;
    static const char *const optimizers[] = {
        "\"sgd\"",
        "{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.05, \"momentum\": 0.9}}",
        "{\"class_name\": \"RMSprop\", \"config\": {\"momentum\": 0.5, \"centered\": true}}",
        "{\"class_name\": \"AdamW\", \"config\": {}}",
        "\"adagrad\"",
        "{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": {\"class_name\": \"ExponentialDecay\", "
        "\"config\": {\"initial_learning_rate\": 0.01, \"decay_steps\": 5, \"decay_rate\": 0.9}}}}"};
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        plan p = {.optimizer = optimizers[i], .save_freq = "3", .backup_options = "", .batch_size = 8};
        outcome whole = train_whole(&p);
        expect_resumes(&p, &whole, CNN_TRAIN_BATCH_BEGIN, (int[]){11, 8}, 2);
        free_outcome(&whole);
    }
}

static void keeps_the_backup_if_asked(void **state) {
    (void)state;
    plan p = usual;
    p.backup_options = ", \"delete_checkpoint\": false, \"double_checkpoint\": true";
    outcome whole = train_whole(&p), kept = train(&p, 7, NULL), again = train(&p, 8, NULL);
    assert_same(&kept, &whole);
    assert_true(is_there("backup/latest.h5") && is_there("backup/previous.h5"));
    assert_same(&again, &whole); /* nothing is left to do but to end once more */
    free_outcome(&kept);
    free_outcome(&again);
    free_outcome(&whole);
    clear();
}

/* Cuts the file's end off. */
static void damage(const char *name) {
    struct stat info;
    assert_int_equal(stat(in_folder(name), &info), 0);
    assert_int_equal(truncate(in_folder(name), info.st_size / 2), 0);
}

static void falls_back_on_the_backup_before(void **state) {
    (void)state;
    plan p = usual;
    p.backup_options = ", \"double_checkpoint\": true";
    outcome whole = train_whole(&p);
    interrupter stop = {{&interrupter_class.class, NULL}, CNN_EPOCH_BEGIN, 3};
    outcome part = train(&p, 7, &stop);
    damage("backup/latest.h5");
    outcome last = train(&p, 8, NULL);
    assert_int_equal(last.status, CNN_OK);
    assert_memory_equal(last.weights, whole.weights, (size_t)whole.count * sizeof(float));
    assert_string_equal(last.csv, whole.csv);
    assert_non_null(strstr(last.log, "latest.h5 cannot be read; going on from"));
    free_outcome(&part);
    free_outcome(&last);
    free_outcome(&whole);
    clear();
}

static void removes_what_a_killed_process_left(void **state) {
    (void)state;
    plan p = usual;
    clear();
    mkdir(in_folder("backup"), 0777);
    FILE *stray = fopen(in_folder("backup/.latest.h5.123.0"), "wb");
    fclose(stray);
    outcome whole = train(&p, 7, NULL);
    OK(whole.status);
    assert_false(is_there("backup"));
    free_outcome(&whole);
    clear();
}

/* A metric of its class, fed samples of one batch or the other. */
static cnn_metric *fed_metric(const char *spec, bool first, bool second) {
    cnn_metric *metric = NULL;
    cJSON *json = cJSON_Parse(spec);
    OK(cnn_metric_new(&metric, json, NULL, NULL));
    cJSON_Delete(json);
    const double truths[2][4] = {{0, 1, 1, 0}, {1, 1, 0, 1}},
                 guesses[2][4] = {{.1, .7, .4, .6}, {.2, .9, .3, .8}};
    for (int i = 0; i < 2; i++) {
        if (!(i == 0 ? first : second)) continue;
        cnn_tensor *y_true = make_tensor(CNN_FLOAT32, SHAPE(4), truths[i], 4);
        cnn_tensor *y_pred = make_tensor(CNN_FLOAT32, SHAPE(4), guesses[i], 4);
        OK(cnn_metric_update(metric, y_true, y_pred, NULL));
        cnn_tensor_release(y_true);
        cnn_tensor_release(y_pred);
    }
    return metric;
}

/* Metrics sum up, so what one has seen can be added to what the other has. */
static void metrics_have_all_they_know_in_their_parts(void **state) {
    (void)state;
    static const char *const specs[] = {
        "\"mse\"",
        "\"rmse\"",
        "\"binary_accuracy\"",
        "\"recall\"",
        "{\"class_name\": \"AUC\"}",
        "{\"class_name\": \"Precision\", \"config\": {\"thresholds\": [0.25, 0.5, 0.75]}}"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        cnn_metric *both = fed_metric(specs[i], true, true), *first = fed_metric(specs[i], true, false),
                   *second = fed_metric(specs[i], false, true);
        double *from, *to, expected[3], got[3];
        int count, parts = 0;
        for (; (from = cnn_metric_part(first, parts, &count)); parts++) {
            to = cnn_metric_part(second, parts, &count);
            for (int k = 0; k < count; k++) to[k] += from[k];
        }
        assert_true(parts >= 2);
        int figures = cnn_metric_results(both, expected, 3);
        assert_int_equal(cnn_metric_results(second, got, 3), figures);
        assert_memory_equal(got, expected, (size_t)figures * sizeof(double));
        cnn_metric_free(both);
        cnn_metric_free(first);
        cnn_metric_free(second);
    }
}

/* ---- what does not fit ------------------------------------------------------------------------------------- */

/* Leaves a backup of the plan's training, interrupted at its fourth batch. */
static void leave_backup(const plan *p) {
    interrupter stop = {{&interrupter_class.class, NULL}, CNN_TRAIN_BATCH_BEGIN, 4};
    clear();
    outcome part = train(p, 7, &stop);
    assert_int_equal(part.status, CNN_ERROR_CALLBACK);
    free_outcome(&part);
}

static void expect_refused(const plan *p, cnn_status status, const char *text) {
    outcome o = train(p, 8, NULL);
    assert_fails(o.status, status, text);
    assert_non_null(strstr(cnn_error_message(), "delete the file to begin anew"));
    assert_non_null(strstr(cnn_error_message(), in_folder("backup/latest.h5")));
    free_outcome(&o);
}

static void tells_what_does_not_fit(void **state) {
    (void)state;
    plan p = {.optimizer = adam, .save_freq = "2", .backup_options = "", .batch_size = 8}, other = p;
    leave_backup(&p);
    other.optimizer = "\"sgd\"";
    expect_refused(&other, CNN_ERROR_ARGUMENT,
                   "it was made with the optimizer Adam, the model is compiled with SGD");
    other = p;
    other.batch_size = 16;
    expect_refused(&other, CNN_ERROR_ARGUMENT, "in batches of 8, now there are 45 in batches of 16");
    damage("backup/latest.h5");
    expect_refused(&p, CNN_ERROR_FORMAT, "cannot go on from");
    /* Another model. */
    leave_backup(&p);
    cnn_model *model = new_model(adam, 5);
    cnn_callback *callback;
    make_callbacks(&callback, &p);
    assert_fails(
        cnn_model_fit(
            model, &(cnn_fit_options){.x = images, .y = labels, .callbacks = &callback, .callback_count = 1},
            NULL),
        CNN_ERROR_SHAPE, "BackupAndRestore: cannot go on from");
    cnn_callback_release(callback);
    cnn_model_release(model);
    clear();
}

/* A byte changed anywhere either is of no matter or refuses the file. */
static void never_takes_up_damage(void **state) {
    (void)state;
    plan p = {.optimizer = adam, .save_freq = "2", .backup_options = "", .batch_size = 8};
    outcome whole = train_whole(&p);
    leave_backup(&p);
    size_t size = 0, refused = 0;
    FILE *file = fopen(in_folder("backup/latest.h5"), "rb");
    char *bytes = malloc(1 << 20);
    assert_non_null(file);
    size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    for (size_t at = 100; at < size; at += 601) {
        bytes[at] ^= 16;
        mkdir(in_folder("backup"), 0777);
        assert_non_null(file = fopen(in_folder("backup/latest.h5"), "wb"));
        assert_int_equal(fwrite(bytes, 1, size, file), size);
        fclose(file);
        outcome o = train(&p, 8, NULL);
        refused += o.status != CNN_OK;
        if (o.status == CNN_OK)
            assert_memory_equal(o.weights, whole.weights, (size_t)whole.count * sizeof(float));
        else
            assert_non_null(strstr(cnn_error_message(), "delete the file to begin anew"));
        free_outcome(&o);
        bytes[at] ^= 16;
    }
    assert_true(refused > 0);
    free(bytes);
    free_outcome(&whole);
    clear();
}

static void tells_of_callbacks_that_are_new(void **state) {
    (void)state;
    plan p = usual;
    p.with_others = false;
    leave_backup(&p);
    p.with_others = true;
    outcome o = train(&p, 8, NULL);
    OK(o.status);
    assert_non_null(strstr(o.log, "has no state of callback 5 (EarlyStopping): it starts afresh"));
    free_outcome(&o);
    clear();
}

static cnn_status backup_run(cnn_tensor **out, void *data) {
    cnn_callback *callback;
    cnn_model *model = data;
    char config[256];
    (void)out;
    snprintf(config, sizeof config, "{\"backup_dir\": \"%s\"}", in_folder("backup"));
    cnn_status status = cnn_callback_new(&callback, "BackupAndRestore", config);
    if (status != CNN_OK) return status;
    cnn_fit_state f = {.samples = SAMPLES, .batch_size = 8, .history = cnn_calloc(sizeof(cnn_history))};
    cnn_run_control run = {.model = model, .optimizer = model->trainer->optimizer, .state = &f};
    run.callbacks = &callback;
    run.callback_count = 1;
    callback->run = &run;
    if (!f.history) status = CNN_ERROR_MEMORY;
    static const cnn_event events[] = {CNN_TRAIN_BEGIN, CNN_RESUME, CNN_TRAIN_BEGIN, CNN_RESUME,
                                       CNN_TRAIN_DONE};
    for (int i = 0; i < 5 && status == CNN_OK; i++)
        status = cnn_callbacks_call(&callback, 1, events[i], 0, NULL);
    cnn_callback_release(callback);
    cJSON_Delete(f.record);
    cnn_history_release(f.history);
    clear_folder("backup");
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    cnn_model *model = new_model(adam, 4);
    OK(cnn_model_train_on_batch(model, images, labels, NULL, NULL, 0));
    cnn_status status = CNN_ERROR_MEMORY;
    for (int n = 0; n < 2000 && status != CNN_OK; n++) {
        size_t before = cnn_memory_used();
        allocations_left = n;
        cnn_set_alloc_hook(fail_at_zero, NULL);
        status = backup_run(NULL, model);
        cnn_set_alloc_hook(NULL, NULL);
        assert_int_equal(cnn_memory_used(), before);
        assert_true(status == CNN_OK || status == CNN_ERROR_MEMORY);
        assert_true(n > 0 || status != CNN_OK);
    }
    OK(status);
    cnn_model_release(model);
}

/* ---- ModelCheckpoint --------------------------------------------------------------------------------------- */

/* Calls a checkpoint as fit does, for an epoch with these logs. */
static cnn_status checkpoint(const char *config, int epoch, int batch, cnn_logs logs, char **log) {
    cnn_model *model = new_model(adam, 4);
    cnn_callback *callback = NULL;
    size_t size;
    OK(cnn_callback_new(&callback, "ModelCheckpoint", config));
    cnn_fit_state f = {.epoch = epoch};
    cnn_run_control run = {.model = model, .optimizer = model->trainer->optimizer, .state = &f};
    run.log = open_memstream(log, &size);
    callback->run = &run;
    OK(cnn_callbacks_call(&callback, 1, CNN_TRAIN_BEGIN, 0, NULL));
    cnn_status status = cnn_callbacks_call(&callback, 1, batch < 0 ? CNN_EPOCH_END : CNN_TRAIN_BATCH_END,
                                           batch < 0 ? epoch : batch, &logs);
    fclose(run.log);
    cnn_callback_release(callback);
    cnn_model_release(model);
    return status;
}

static void fills_in_names(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *name;
    } cases[] = {{"m-{epoch:02d}.h5", "m-03.h5"},
                 {"m-{epoch}-{val_loss:.2f}.h5", "m-3-0.12.h5"},
                 {"{epoch:04d}{accuracy:.4f}.h5", "00030.9877.h5"},
                 {"{accuracy:.1%}.h5", "98.8%.h5"},
                 {"{{{epoch:3d}}}.h5", "{  3}.h5"},
                 {"{accuracy}_{val_loss}_{big}.h5", "0.98765_0.125_-3.0.h5"},
                 {"{big:05.1f}{val_loss:.1e}{accuracy:g}.h5", "-03.01.2e-010.98765.h5"},
                 {"{none:.3f}{epoch:.1f}.h5", "nan3.0.h5"},
                 {"a/b/../b//c/{epoch}.h5", "a/b/c/3.h5"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[512], *log;
        cnn_logs logs = {4, {"val_loss", "accuracy", "big", "none"}, {0.125, 0.98765, -3, NAN}};
        snprintf(config, sizeof config, "{\"filepath\": \"%s\", \"save_weights_only\": true}",
                 in_folder(cases[i].pattern));
        OK(checkpoint(config, 2, -1, logs, &log));
        if (!is_there(cases[i].name)) print_error("%s\n", cases[i].name);
        assert_true(is_there(cases[i].name));
        assert_string_equal(log, "");
        free(log);
        unlink(in_folder(cases[i].name));
    }
    rmdir(in_folder("a/b/c"));
    rmdir(in_folder("a/b"));
    rmdir(in_folder("a"));
}

static void counts_batches(void **state) {
    (void)state;
    char config[256], *log, said[512];
    cnn_logs logs = {1, {"loss"}, {0.5}};
    snprintf(config, sizeof config,
             "{\"filepath\": \"%s\", \"save_weights_only\": true, \"save_freq\": 1, \"verbose\": 1}",
             in_folder("{epoch}-{batch:03d}.h5"));
    OK(checkpoint(config, 0, 8, logs, &log));
    snprintf(said, sizeof said, "\nEpoch 1: saving model to %s\n", in_folder("1-009.h5"));
    assert_string_equal(log, said);
    assert_true(is_there("1-009.h5"));
    free(log);
    clear();
}

static void refuses_wrong_names(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"filepath\": \"model.txt\"}", "'filepath' must end in .h5, .hdf5 or .keras, got \"model.txt\""},
        {"{\"filepath\": \"m.keras\", \"save_weights_only\": true}",
         "'filepath' must end in .h5, .hdf5 or .safetensors (save_weights_only), got \"m.keras\""},
        {"{\"filepath\": \"{epoch.h5\"}", "must be a name with fields like {epoch:02d}"},
        {"{\"filepath\": \"{epoch:0x}.h5\"}", "must be a name with fields like {epoch:02d}"},
        {"{\"filepath\": \"{}.h5\"}", "must be a name with fields like {epoch:02d}"},
        {"{\"filepath\": \"}.h5\"}", "must be a name with fields like {epoch:02d}"},
        {"{\"filepath\": \"{epoch:999d}.h5\"}", "must be a name with fields like {epoch:02d}"},
        {"{\"filepath\": \"x.h5\", \"save_freq\": 0}", "'save_freq' must be \"epoch\" or a whole number"},
        {"{\"filepath\": \"x.h5\", \"save_freq\": \"batch\"}",
         "'save_freq' must be \"epoch\" or a whole number"},
        {"{\"filepath\": \".h5\"}", "'filepath' must end in .h5, .hdf5 or .keras, got \".h5\""},
        {"{}", "missing argument 'filepath'"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_callback *callback = NULL;
        assert_fails(cnn_callback_new(&callback, "ModelCheckpoint", cases[i][0]), CNN_ERROR_ARGUMENT,
                     cases[i][1]);
        assert_null(callback);
    }
    cnn_callback *callback = NULL;
    assert_fails(cnn_callback_new(&callback, "BackupAndRestore", "{\"backup_dir\": \"\"}"),
                 CNN_ERROR_ARGUMENT, "BackupAndRestore: 'backup_dir' must be the name of a folder");
    char *log;
    cnn_logs logs = {2, {"loss", "accuracy"}, {0.5, 1}};
    assert_fails(
        checkpoint("{\"filepath\": \"{val_loss:.2f}.h5\"}", 0, -1, logs, &log), CNN_ERROR_ARGUMENT,
        "there is no 'val_loss' for the name \"{val_loss:.2f}.h5\"; known are epoch, loss, accuracy");
    free(log);
    assert_fails(checkpoint("{\"filepath\": \"{loss:d}.h5\"}", 0, -1, logs, &log), CNN_ERROR_ARGUMENT,
                 "must be a name with fields like");
    free(log);
}

static void says_what_keras_says(void **state) {
    (void)state;
    char config[256], *log, said[512];
    snprintf(config, sizeof config,
             "{\"filepath\": \"%s\", \"save_weights_only\": true, \"save_best_only\": true, \"verbose\": 1, "
             "\"initial_value_threshold\": 0.4}",
             in_folder("best.h5"));
    OK(checkpoint(config, 4, -1, (cnn_logs){1, {"val_loss"}, {0.4}}, &log));
    assert_string_equal(log, "\nEpoch 5: val_loss did not improve from 0.40000\n");
    assert_false(is_there("best.h5"));
    free(log);
    OK(checkpoint(config, 4, -1, (cnn_logs){1, {"val_loss"}, {0.3}}, &log));
    snprintf(said, sizeof said, "\nEpoch 5: val_loss improved from 0.40000 to 0.30000, saving model to %s\n",
             in_folder("best.h5"));
    assert_string_equal(log, said);
    assert_true(is_there("best.h5"));
    free(log);
    OK(checkpoint(config, 4, -1, (cnn_logs){1, {"loss"}, {0.3}}, &log));
    assert_string_equal(log, "Can save best model only with val_loss available, skipping.\n");
    free(log);
    clear();
}

static void ends_training_if_a_file_cannot_be_written(void **state) {
    (void)state;
    char *log;
    cnn_logs logs = {1, {"loss"}, {1}};
    assert_fails(
        checkpoint("{\"filepath\": \"/dev/null/x.h5\", \"save_weights_only\": true}", 0, -1, logs, &log),
        CNN_ERROR_IO, "ModelCheckpoint: cannot make the folder /dev/null: Not a directory");
    free(log);
}

/* ---- histories --------------------------------------------------------------------------------------------- */

static void saves_histories(void **state) {
    (void)state;
    cnn_history *h = cnn_calloc(sizeof *h);
    h->first_epoch = 2;
    OK(cnn_history_add(h, &(cnn_logs){2, {"loss", "a,b"}, {0.1, 100000}}));
    OK(cnn_history_add(h, &(cnn_logs){2, {"loss", "val\"x\\"}, {NAN, INFINITY}}));
    OK(cnn_history_save(h, in_folder("h.csv")));
    OK(cnn_history_save(h, in_folder("h.json")));
    char *csv = read_text("h.csv"), *json = read_text("h.json");
    assert_string_equal(csv, "epoch,loss,\"a,b\",\"val\"\"x\\\"\n3,0.1,100000,\n4,nan,,inf\n");
    assert_string_equal(json, "{\"epoch\": [3, 4],\n \"history\": {\n  \"loss\": [0.1, null],\n"
                              "  \"a,b\": [100000, null],\n  \"val\\\"x\\\\\": [null, 1e999]}}\n");
    free(csv);
    free(json);
    assert_fails(cnn_history_save(h, in_folder("h.txt")), CNN_ERROR_ARGUMENT, "must end in .csv or .json");
    cnn_history_release(h);
    clear();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_training_is_worth_testing),
        cmocka_unit_test(goes_on_after_any_epoch),
        cmocka_unit_test(goes_on_within_epochs),
        cmocka_unit_test(goes_on_with_other_optimizers),
        cmocka_unit_test(keeps_the_backup_if_asked),
        cmocka_unit_test(falls_back_on_the_backup_before),
        cmocka_unit_test(removes_what_a_killed_process_left),
        cmocka_unit_test(metrics_have_all_they_know_in_their_parts),
        cmocka_unit_test(tells_what_does_not_fit),
        cmocka_unit_test(never_takes_up_damage),
        cmocka_unit_test(tells_of_callbacks_that_are_new),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(fills_in_names),
        cmocka_unit_test(counts_batches),
        cmocka_unit_test(refuses_wrong_names),
        cmocka_unit_test(says_what_keras_says),
        cmocka_unit_test(ends_training_if_a_file_cannot_be_written),
        cmocka_unit_test(saves_histories),
    };
    if (access("/dev/shm", W_OK) != 0) strcpy(folder, "/tmp/test_backup_XXXXXX");
    if (!mkdtemp(folder)) return 1;
    make_data();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cnn_tensor_release(images);
    cnn_tensor_release(labels);
    rmdir(folder);
    return failed;
}
