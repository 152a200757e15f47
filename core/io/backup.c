/* BackupAndRestore, as in Keras 3 (keras.src.callbacks.backup_and_restore): keeps a file from which a training that was
 * interrupted, at whatever moment, goes on as if it never had been: bit for bit the same weights, history and messages.
 *
 * backup_dir/latest.h5 has the weights and the optimizer's state in the form of Keras 3's weights files, so that
 * load_weights can read them, and beside them
 *   training_state  JSON, cut into strings as attributes are limited: where fit stands, the seeds and generators, the
 *                   history, the states of all callbacks; numbers in decimals that read back exactly, those that are
 *                   not a number as null, infinite ones as ±1e999; with a check sum of all datasets in it
 *   training_check  a check sum of that text
 *   callbacks/N     the copy of the weights that the callback in place N of that list holds
 * The first is written before the first epoch, so that a run that is killed early begins with the same weights again.
 * It is deleted when training has ended and all callbacks have seen the end. With double_checkpoint the file before it
 * stays as previous.h5, for when latest.h5 cannot be read. */
#include "io/h5.h"
#include "io/keras_weights.h"
#include "io/saving.h"
#include "model/config.h"
#include "train/history.h"
#include "train/monitor.h"
#include "train/trainer.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

typedef struct backup {
    cnn_callback head;
    char *backup_dir;
    cJSON *save_freq;
    bool double_checkpoint, delete_checkpoint;
    char *latest, *previous; /* paths; NULL before the first run */
    int batches;             /* state: since the last save */
} backup;

enum { FORMAT = 1, PIECE = 4000 };

/* ---- JSON, written --------------------------------------------------------------------------------------- */

/* These take a NULL for something that memory did not suffice for, and tell. */
static bool add(cJSON *object, const char *name, cJSON *item) {
    if (item && cJSON_AddItemToObject(object, name, item)) return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *number_json(double value) {
    return isnan(value) ? cJSON_CreateNull() : cJSON_CreateNumber(value);
}

/* All 64 bits of it, for which JSON's numbers have no room. */
static cJSON *bits_json(uint64_t bits) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIx64, bits);
    return cJSON_CreateString(text);
}

static cJSON *random_json(const cnn_random *random) {
    cJSON *list = cJSON_CreateArray();
    if (list && cJSON_AddItemToArray(list, bits_json(random->key)) &&
        cJSON_AddItemToArray(list, bits_json(random->counter)))
        return list;
    cJSON_Delete(list);
    return NULL;
}

static bool append_numbers(cJSON *list, const double *values, int count) {
    for (int i = 0; i < count; i++)
        if (!cJSON_AddItemToArray(list, number_json(values[i]))) return false;
    return true;
}

static cJSON *numbers_json(const double *values, int count) {
    cJSON *list = cJSON_CreateArray();
    if (list && append_numbers(list, values, count)) return list;
    cJSON_Delete(list);
    return NULL;
}

static cJSON *sums_json(const cnn_loss_sums *sums) {
    cJSON *list = numbers_json(sums->totals, CNN_MAX_FIGURES);
    if (list && append_numbers(list, &sums->weight, 1)) return list;
    cJSON_Delete(list);
    return NULL;
}

static bool append_metric(cJSON *list, cnn_metric *metric) {
    cJSON *numbers = cJSON_CreateArray();
    double *part;
    int count;
    bool good = numbers && cJSON_AddItemToArray(list, numbers);
    if (!good) cJSON_Delete(numbers);
    for (int i = 0; good && (part = cnn_metric_part(metric, i, &count)); i++)
        good = append_numbers(numbers, part, count);
    return good;
}

static cJSON *metrics_json(const cnn_trainer *t) {
    cJSON *list = cJSON_CreateArray();
    bool good = list;
    for (int i = 0; good && i < t->metric_count; i++) good = append_metric(list, t->measured.metrics[i]);
    if (good) return list;
    cJSON_Delete(list);
    return NULL;
}

static cJSON *logs_json(const cnn_logs *logs) {
    cJSON *json = cJSON_CreateObject();
    if (json && add(json, "names", cJSON_CreateStringArray(logs->names, logs->count)) &&
        add(json, "values", numbers_json(logs->values, logs->count)))
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* values: of the epochs one after the other, of each all that have a name; logged: for each a bit a name. */
static cJSON *history_json(const cnn_history *h) {
    cJSON *json = cJSON_CreateObject(), *values = cJSON_AddArrayToObject(json, "values"),
          *logged = cJSON_AddArrayToObject(json, "logged");
    bool good = values && logged && add(json, "first_epoch", cJSON_CreateNumber(h->first_epoch)) &&
                add(json, "names", cJSON_CreateStringArray((const char *const *)h->names, h->count));
    for (int i = 0; good && i < h->epochs; i++)
        good = append_numbers(values, h->values + (size_t)i * CNN_MAX_LOGS, h->count) &&
               cJSON_AddItemToArray(logged, bits_json(h->logged[i]));
    if (good) return json;
    cJSON_Delete(json);
    return NULL;
}

static bool add_state(cJSON *record, const cnn_run_control *run) {
    const cnn_fit_state *f = run->state;
    const cnn_trainer *t = run->model->trainer;
    const cnn_optimizer *o = run->optimizer;
    return add(record, "format", cJSON_CreateNumber(FORMAT)) &&
           add(record, "epoch", cJSON_CreateNumber(f->epoch)) &&
           add(record, "step", cJSON_CreateNumber(f->step)) &&
           add(record, "samples", cJSON_CreateNumber((double)f->samples)) &&
           add(record, "batch_size", cJSON_CreateNumber(f->batch_size)) &&
           add(record, "stop_training", cJSON_CreateBool(run->stop_training)) &&
           add(record, "order", random_json(&f->order)) &&
           add(record, "random", random_json(cnn_default_random())) &&
           add(record, "seed", bits_json(t->seed)) &&
           add(record, "optimizer", cJSON_CreateString(o->class->name)) &&
           add(record, "rate", number_json(o->rate)) &&
           add(record, "iterations", bits_json((uint64_t)o->iterations)) &&
           add(record, "sums", sums_json(&f->sums)) && add(record, "metrics", metrics_json(t)) &&
           add(record, "logs", logs_json(&f->logs)) && add(record, "history", history_json(f->history));
}

static cnn_status add_seeds(cJSON *record, const cnn_model *model) {
    cJSON *seeds;
    CNN_TRY(cnn_model_get_seeds(&seeds, model));
    return add(record, "seeds", seeds) ? CNN_OK : cnn_fail_memory(sizeof *seeds);
}

/* ---- the states of callbacks ----------------------------------------------------------------------------- */

static cnn_status append_callback(cJSON *list, cnn_callback *callback) {
    cJSON *item = cJSON_CreateObject(), *state = NULL;
    if (!item || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return cnn_fail_memory(sizeof *item);
    }
    CNN_TRY(cnn_callback_get_state(&state, callback));
    if (!add(item, "state", state) || !add(item, "class_name", cJSON_CreateString(callback->class->name)))
        return cnn_fail_memory(sizeof *item);
    return CNN_OK;
}

static cnn_status add_callbacks(cJSON *record, const cnn_run_control *run) {
    cJSON *list = cJSON_CreateArray();
    if (!add(record, "callbacks", list)) return cnn_fail_memory(sizeof *list);
    for (int i = 0; i < run->callback_count; i++)
        if (cnn_callback_has_state(run->callbacks[i])) CNN_TRY(append_callback(list, run->callbacks[i]));
    return CNN_OK;
}

static cnn_status add_weights_of(cnn_h5_node *root, int place, const float *weights, int64_t count) {
    char path[48];
    cnn_tensor *tensor;
    snprintf(path, sizeof path, "callbacks/%d", place);
    CNN_TRY(cnn_tensor_from(&tensor, CNN_FLOAT32, 1, &count, weights));
    cnn_status status = cnn_h5_add_tensor(root, path, tensor);
    cnn_tensor_release(tensor);
    return status;
}

static cnn_status add_callback_weights(cnn_h5_node *root, const cnn_run_control *run) {
    for (int i = 0, place = 0; i < run->callback_count; i++) {
        cnn_callback *callback = run->callbacks[i];
        float **weights = cnn_callback_weights(callback);
        if (weights && *weights)
            CNN_TRY(add_weights_of(root, place, *weights, cnn_model_count_params(run->model)));
        place += cnn_callback_has_state(callback);
    }
    return CNN_OK;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

static uint64_t check_bytes(uint64_t before, const void *bytes, size_t size) {
    return crc32_z((uLong)before, bytes, size);
}

/* Of all datasets below the node, and the paths to them, in whatever order. */
static uint64_t check_tree(const cnn_h5_node *node, uint64_t above) {
    const cnn_h5_value *value = node->value;
    uint64_t sum = 0, check = check_bytes(above, node->name, strlen(node->name) + 1);
    for (int i = 0; i < node->child_count; i++) sum += check_tree(node->children[i], check);
    if (!value) return sum;
    if (value->tensor) check = check_bytes(check, value->tensor->data, cnn_tensor_bytes(value->tensor));
    if (value->integers)
        check = check_bytes(check, value->integers, (size_t)value->count * sizeof *value->integers);
    return sum + check;
}

/* Strings of PIECE bytes or a little less, for no character of UTF-8 is cut. */
static cnn_status set_pieces(cnn_h5_node *root, char *text) {
    size_t most = strlen(text) / (PIECE - 4) + 1, count = 0;
    char **pieces = cnn_calloc(most * sizeof *pieces);
    cnn_status status = pieces ? CNN_OK : cnn_fail_memory(most * sizeof *pieces);
    for (const char *at = text; status == CNN_OK && *at; count++) {
        size_t length = strnlen(at, PIECE);
        while (length > PIECE - 4 && (at[length] & 0xC0) == 0x80) length--;
        if ((pieces[count] = cnn_malloc(length + 1))) {
            memcpy(pieces[count], at, length);
            pieces[count][length] = '\0';
            at += length;
        } else {
            status = cnn_fail_memory(length + 1);
        }
    }
    if (status == CNN_OK)
        status = cnn_h5_set_list(root, "training_state", (const char *const *)pieces, (int)count);
    for (size_t i = 0; i < count; i++) cnn_free(pieces[i]);
    cnn_free(pieces);
    return status;
}

static char *check_text(char buffer[24], const char *text) {
    snprintf(buffer, 24, "%" PRIx64, check_bytes(0, text, strlen(text)));
    return buffer;
}

static cnn_status set_check(cnn_h5_node *root, const char *text) {
    char check[24];
    return cnn_h5_set_text(root, "training_check", check_text(check, text));
}

static cnn_status write_record(cnn_h5_node *root, const cnn_run_control *run) {
    cJSON *record = cJSON_CreateObject();
    char *text = NULL;
    cnn_status status = record && add_state(record, run) ? CNN_OK : cnn_fail_memory(sizeof *record);
    if (status == CNN_OK) status = add_seeds(record, run->model);
    if (status == CNN_OK) status = add_callbacks(record, run);
    if (status == CNN_OK && !add(record, "check", bits_json(check_tree(root, 0))))
        status = cnn_fail_memory(sizeof *record);
    text = cnn_json_print(record);
    if (status == CNN_OK && !text) status = cnn_fail_memory(sizeof *record);
    if (status == CNN_OK) status = set_pieces(root, text);
    if (status == CNN_OK) status = set_check(root, text);
    free(text);
    return status;
}

static cnn_status write_tree(cnn_h5_node *root, const backup *b) {
    const cnn_run_control *run = b->head.run;
    CNN_TRY(cnn_weights_write(root, run->model, CNN_WEIGHTS_KERAS_3));
    CNN_TRY(cnn_optimizer_write(root, run->model, CNN_WEIGHTS_KERAS_3));
    CNN_TRY(add_callback_weights(root, run));
    CNN_TRY(write_record(root, run));
    CNN_TRY(cnn_make_folder(b->backup_dir));
    if (b->double_checkpoint) rename(b->latest, b->previous); /* there may be none yet */
    return cnn_h5_write(root, b->latest);
}

static cnn_status save(backup *b) {
    cnn_h5_node *root;
    b->batches = 0;
    CNN_TRY(cnn_h5_new(&root));
    cnn_status status = write_tree(root, b);
    cnn_h5_free(root);
    return status == CNN_OK ? status : cnn_fail_in(status, "BackupAndRestore");
}

/* ---- JSON, read ------------------------------------------------------------------------------------------ */

static cnn_status damaged(const char *what) {
    return cnn_fail(CNN_ERROR_FORMAT, "its training_state is damaged: '%s'", what);
}

static cnn_status get_number(double *out, const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item)) return damaged(name);
    *out = item->valuedouble;
    return CNN_OK;
}

static cnn_status get_count(int *out, const cJSON *object, const char *name) {
    double value = 0;
    CNN_TRY(get_number(&value, object, name));
    if (!(value >= 0 && value <= INT_MAX && value == floor(value))) return damaged(name);
    *out = (int)value;
    return CNN_OK;
}

static cnn_status read_bits(uint64_t *out, const cJSON *item, const char *name) {
    char *end;
    if (!cJSON_IsString(item) || !*item->valuestring) return damaged(name);
    *out = strtoull(item->valuestring, &end, 16);
    return *end ? damaged(name) : CNN_OK;
}

static cnn_status get_bits(uint64_t *out, const cJSON *object, const char *name) {
    return read_bits(out, cJSON_GetObjectItemCaseSensitive(object, name), name);
}

static cnn_status get_random(cnn_random *out, const cJSON *object, const char *name) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name);
    if (cJSON_GetArraySize(list) != 2) return damaged(name);
    CNN_TRY(read_bits(&out->key, list->child, name));
    return read_bits(&out->counter, list->child->next, name);
}

static cnn_status get_list(const cJSON **out, const cJSON *object, const char *name) {
    *out = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsArray(*out) ? CNN_OK : damaged(name);
}

/* The next count numbers of a list, whose rest begins at *item. */
static bool take_numbers(double *values, int count, const cJSON **item) {
    for (int i = 0; i < count; i++, *item = (*item)->next) {
        if (!cJSON_IsNumber(*item) && !cJSON_IsNull(*item)) return false;
        values[i] = cJSON_IsNull(*item) ? NAN : (*item)->valuedouble;
    }
    return true;
}

/* Names and how many there are; borrowed from the JSON. */
static cnn_status get_names(const char **names, int *count, const cJSON *object) {
    const cJSON *list, *item;
    CNN_TRY(get_list(&list, object, "names"));
    *count = 0;
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsString(item) || *count == CNN_MAX_LOGS) return damaged("names");
        names[(*count)++] = item->valuestring;
    }
    return CNN_OK;
}

static cnn_status get_logs(cnn_logs *logs, const cJSON *record) {
    const cJSON *json = cJSON_GetObjectItemCaseSensitive(record, "logs"), *values;
    CNN_TRY(get_names(logs->names, &logs->count, json));
    CNN_TRY(get_list(&values, json, "values"));
    const cJSON *item = values->child;
    return take_numbers(logs->values, logs->count, &item) ? CNN_OK : damaged("logs");
}

static cnn_status get_history(cnn_history *h, const cJSON *record) {
    const cJSON *json = cJSON_GetObjectItemCaseSensitive(record, "history"), *list, *logged, *epoch;
    const char *names[CNN_MAX_LOGS];
    double values[CNN_MAX_LOGS];
    int count, first_epoch;
    CNN_TRY(get_count(&first_epoch, json, "first_epoch"));
    CNN_TRY(get_names(names, &count, json));
    CNN_TRY(get_list(&list, json, "values"));
    CNN_TRY(get_list(&logged, json, "logged"));
    if (logged->child) h->first_epoch = first_epoch;
    h->epochs = 0; /* another BackupAndRestore in the list may have restored some */
    const cJSON *item = list->child;
    cJSON_ArrayForEach(epoch, logged) {
        cnn_logs logs = {0};
        uint64_t bits = 0;
        CNN_TRY(read_bits(&bits, epoch, "logged"));
        if (!take_numbers(values, count, &item)) return damaged("history");
        for (int i = 0; i < count; i++) {
            if (!(bits >> i & 1)) continue;
            logs.names[logs.count] = names[i];
            logs.values[logs.count++] = values[i];
        }
        CNN_TRY(cnn_history_add(h, &logs));
    }
    return CNN_OK;
}

/* ---- restoring ------------------------------------------------------------------------------------------- */

/* What stands in the middle of an epoch only fits the same batches. */
static cnn_status check_batches(const cJSON *record, const cnn_fit_state *f) {
    double samples = 0;
    int batch_size;
    CNN_TRY(get_number(&samples, record, "samples"));
    CNN_TRY(get_count(&batch_size, record, "batch_size"));
    if (samples == (double)f->samples && batch_size == f->batch_size) return CNN_OK;
    return cnn_fail(
        CNN_ERROR_ARGUMENT,
        "it was made in the middle of an epoch of %.0f samples in batches of %d, now there are %lld in "
        "batches of %d",
        samples, batch_size, (long long)f->samples, f->batch_size);
}

static cnn_status get_sums(cnn_loss_sums *sums, const cJSON *record) {
    const cJSON *list;
    CNN_TRY(get_list(&list, record, "sums"));
    const cJSON *item = list->child;
    if (take_numbers(sums->totals, CNN_MAX_FIGURES, &item) && take_numbers(&sums->weight, 1, &item))
        return CNN_OK;
    return damaged("sums");
}

static cnn_status get_metrics(const cnn_trainer *t, const cJSON *record) {
    const cJSON *list, *item;
    int metric = 0, count;
    CNN_TRY(get_list(&list, record, "metrics"));
    if (cJSON_GetArraySize(list) != t->metric_count)
        return cnn_fail(CNN_ERROR_ARGUMENT, "it was made with %d metrics, the model is compiled with %d",
                        cJSON_GetArraySize(list), t->metric_count);
    cJSON_ArrayForEach(item, list) {
        const cJSON *number = item->child;
        double *part;
        for (int i = 0; (part = cnn_metric_part(t->measured.metrics[metric], i, &count)); i++)
            if (!take_numbers(part, count, &number))
                return cnn_fail(CNN_ERROR_ARGUMENT, "it was made with another metric than '%s'",
                                t->measured.metrics[metric]->name);
        metric++;
    }
    return CNN_OK;
}

static cnn_status restore_seeds(cnn_model *model, const cJSON *record) {
    const cJSON *list;
    CNN_TRY(get_list(&list, record, "seeds"));
    return cnn_model_set_seeds(model, list);
}

static cnn_status restore_weights(const cnn_run_control *run, const cnn_h5_node *root) {
    cnn_text notes = {0}; /* of what cannot be in a backup */
    cnn_status status = cnn_weights_read(run->model, root, &(cnn_weights_options){0}, &notes);
    cnn_text_free(&notes);
    return status;
}

static cnn_status restore_optimizer(cnn_run_control *run, const cJSON *record, const cnn_h5_node *root) {
    cnn_optimizer *o = run->optimizer;
    cnn_text notes = {0};
    uint64_t iterations = 0;
    double rate = 0;
    CNN_TRY(get_bits(&iterations, record, "iterations"));
    CNN_TRY(get_number(&rate, record, "rate"));
    cnn_status status = cnn_optimizer_read(run->model, root, &notes);
    if (status == CNN_OK && notes.length > 0) status = cnn_fail(CNN_ERROR_ARGUMENT, "%s", notes.bytes);
    cnn_text_free(&notes);
    CNN_TRY(status);
    o->iterations = (int64_t)iterations;
    o->rate = rate;
    return CNN_OK;
}

static cnn_status check_record(const cnn_run_control *run, const cJSON *record) {
    int format;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(record, "optimizer");
    CNN_TRY(get_count(&format, record, "format"));
    if (format != FORMAT) return cnn_fail(CNN_ERROR_FORMAT, "its form %d is not known", format);
    if (!cJSON_IsString(name)) return damaged("optimizer");
    if (strcmp(name->valuestring, run->optimizer->class->name) == 0) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "it was made with the optimizer %s, the model is compiled with %s",
                    name->valuestring, run->optimizer->class->name);
}

/* Where fit stood. As in Keras, a backup from before the first epoch leaves initial_epoch as it is. */
static cnn_status restore_state(cnn_run_control *run, const cJSON *record) {
    cnn_fit_state *f = run->state;
    int epoch, step;
    CNN_TRY(get_count(&epoch, record, "epoch"));
    CNN_TRY(get_count(&step, record, "step"));
    if (step > 0) {
        CNN_TRY(check_batches(record, f));
        CNN_TRY(get_random(&f->order, record, "order"));
        CNN_TRY(get_sums(&f->sums, record));
        CNN_TRY(get_metrics(run->model->trainer, record));
        CNN_TRY(get_logs(&f->logs, record));
    }
    if (epoch > 0 || step > 0) f->epoch = epoch;
    f->step = step;
    run->stop_training |= cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(record, "stop_training"));
    return get_history(f->history, record);
}

/* The item number `which` of those of the class in the list, and its place; NULL if there is none. */
static const cJSON *find_entry(const cJSON *list, const char *class_name, int which, int *place) {
    const cJSON *item;
    *place = 0;
    cJSON_ArrayForEach(item, list) {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "class_name");
        if (cJSON_IsString(name) && strcmp(name->valuestring, class_name) == 0 && which-- == 0) return item;
        ++*place;
    }
    return NULL;
}

static cnn_status restore_weights_of(cnn_callback *callback, const cnn_h5_node *root, int place,
                                     int64_t count) {
    float **weights = cnn_callback_weights(callback), *copy = NULL;
    char path[48];
    if (!weights) return CNN_OK;
    snprintf(path, sizeof path, "callbacks/%d", place);
    const cnn_h5_node *node = cnn_h5_find(root, path);
    if (node) {
        const cnn_tensor *tensor = node->value ? node->value->tensor : NULL;
        if (!tensor || tensor->size != count) return damaged(path);
        if (!(copy = cnn_malloc(cnn_tensor_bytes(tensor)))) return cnn_fail_memory(cnn_tensor_bytes(tensor));
        memcpy(copy, tensor->data, cnn_tensor_bytes(tensor));
    }
    cnn_free(*weights);
    *weights = copy;
    return CNN_OK;
}

static int earlier_of_class(const cnn_run_control *run, int callback) {
    int count = 0;
    for (int i = 0; i < callback; i++)
        count += cnn_callback_has_state(run->callbacks[i]) &&
                 strcmp(run->callbacks[i]->class->name, run->callbacks[callback]->class->name) == 0;
    return count;
}

static cnn_status restore_callbacks(const backup *b, const cJSON *record, const cnn_h5_node *root) {
    const cnn_run_control *run = b->head.run;
    const cJSON *list;
    CNN_TRY(get_list(&list, record, "callbacks"));
    for (int i = 0; i < run->callback_count; i++) {
        cnn_callback *callback = run->callbacks[i];
        const char *name = callback->class->name;
        int place;
        if (!cnn_callback_has_state(callback)) continue;
        const cJSON *entry = find_entry(list, name, earlier_of_class(run, i), &place);
        if (!entry) {
            cnn_callback_say(&b->head,
                             "BackupAndRestore: %s has no state of callback %d (%s): it starts afresh",
                             b->latest, i + 1, name);
            continue;
        }
        CNN_TRY(restore_weights_of(callback, root, place, cnn_model_count_params(run->model)));
        CNN_TRY(cnn_callback_set_state(callback, cJSON_GetObjectItemCaseSensitive(entry, "state")));
    }
    return CNN_OK;
}

/* All of it. Weights come first: they tell whether the backup is of this model. */
static cnn_status apply(const backup *b, const cnn_h5_node *root) {
    cnn_run_control *run = b->head.run;
    const cJSON *record = run->state->record;
    cnn_trainer *t = run->model->trainer;
    cnn_random random;
    uint64_t seed = 0;
    CNN_TRY(check_record(run, record));
    CNN_TRY(get_random(&random, record, "random"));
    CNN_TRY(get_bits(&seed, record, "seed"));
    CNN_TRY(restore_weights(run, root));
    CNN_TRY(restore_optimizer(run, record, root));
    CNN_TRY(restore_seeds(run->model, record));
    CNN_TRY(restore_state(run, record));
    CNN_TRY(restore_callbacks(b, record, root));
    t->seed = seed;
    *cnn_default_random() = random;
    cnn_trainer_touch_weights(run->model);
    return CNN_OK;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static cnn_status check_file(const cnn_h5_node *root, const cJSON *record) {
    uint64_t check = 0;
    CNN_TRY(get_bits(&check, record, "check"));
    return check == check_tree(root, 0) ? CNN_OK
                                        : cnn_fail(CNN_ERROR_FORMAT, "it is damaged: its check sum differs");
}

static cnn_status parse_record(cJSON **out, const cnn_h5_node *root) {
    const cnn_h5_value *pieces = cnn_h5_get(root, "training_state");
    const char *check = cnn_h5_text(root, "training_check");
    char expected[24];
    cnn_text text = {0};
    if (!pieces || pieces->type != CNN_H5_STRING || !check)
        return cnn_fail(CNN_ERROR_FORMAT, "it is no backup of a training: it has no training_state");
    for (int64_t i = 0; i < pieces->count; i++) cnn_text_add(&text, "%s", pieces->strings[i]);
    char *json = cnn_text_take(&text);
    if (!json) return cnn_fail_memory(PIECE);
    bool whole = strcmp(check, check_text(expected, json)) == 0;
    cJSON *record = whole ? cJSON_Parse(json) : NULL;
    free(json);
    cnn_status status = record ? check_file(root, record) : damaged("JSON");
    if (status == CNN_OK)
        *out = record;
    else
        cJSON_Delete(record);
    return status;
}

/* The file's tree, and the record in it as the run's. */
static cnn_status load(const backup *b, cnn_h5_node **root, const char *path) {
    cJSON *record = NULL;
    CNN_TRY(cnn_h5_read(root, path));
    cnn_status status = parse_record(&record, *root);
    if (status == CNN_OK) {
        cJSON_Delete(b->head.run->state->record); /* of another BackupAndRestore in the list */
        b->head.run->state->record = record;
    } else {
        cnn_h5_free(*root);
        *root = NULL;
    }
    return status;
}

static bool is_there(const char *path) {
    return access(path, F_OK) == 0;
}

/* From latest.h5 or, if that cannot be read, previous.h5. */
static cnn_status load_either(const backup *b, cnn_h5_node **root, const char **path) {
    bool second = is_there(b->previous);
    *path = is_there(b->latest) ? b->latest : b->previous;
    cnn_status status = load(b, root, *path);
    if (status != CNN_ERROR_FORMAT || !second || *path == b->previous) return status;
    cnn_callback_say(&b->head, "BackupAndRestore: %s cannot be read; going on from %s", b->latest,
                     b->previous);
    *path = b->previous;
    return load(b, root, *path);
}

static cnn_status tell_way_out(cnn_status status, const char *path) {
    if (status == CNN_OK) return CNN_OK;
    if (status == CNN_ERROR_MEMORY || status == CNN_ERROR_INTERRUPTED || status == CNN_ERROR_CALLBACK)
        return cnn_fail_in(status, "BackupAndRestore");
    return cnn_fail(
        status,
        "BackupAndRestore: cannot go on from %s: %.600s; delete the file to begin anew, or give another "
        "backup_dir",
        path, cnn_error_message());
}

static cnn_status resume(const backup *b) {
    cnn_h5_node *root = NULL;
    const char *path;
    const cnn_run_control *run = b->head.run;
    cnn_status status = load_either(b, &root, &path);
    if (status == CNN_OK) status = apply(b, root);
    cnn_h5_free(root);
    CNN_TRY(tell_way_out(status, path));
    if (run->verbose > 0)
        cnn_callback_say(&b->head, "Resuming training from epoch %d (%s)", run->state->epoch + 1, path);
    return CNN_OK;
}

/* ---- files ----------------------------------------------------------------------------------------------- */

static cnn_status join(char **out, const char *folder, const char *name) {
    size_t bytes = strlen(folder) + strlen(name) + 2;
    if (*out) return CNN_OK;
    if (!(*out = cnn_malloc(bytes))) return cnn_fail_memory(bytes);
    snprintf(*out, bytes, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name);
    return CNN_OK;
}

/* What a process that was killed while it wrote left beside the file. */
static void remove_strays(const backup *b) {
    DIR *folder = opendir(b->backup_dir);
    if (!folder) return;
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (strncmp(entry->d_name, ".latest.h5.", 11) == 0) unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
}

static cnn_status begin(backup *b) {
    CNN_TRY(join(&b->latest, b->backup_dir, "latest.h5"));
    CNN_TRY(join(&b->previous, b->backup_dir, "previous.h5"));
    b->batches = 0;
    remove_strays(b);
    return CNN_OK;
}

/* The older one first: it is never to be taken for the latest. The folder goes too if nothing else is in it. */
static void clean_up(const backup *b) {
    if (!b->delete_checkpoint) return;
    unlink(b->previous);
    unlink(b->latest);
    rmdir(b->backup_dir);
}

/* ---- the class ------------------------------------------------------------------------------------------- */

static cnn_status on(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    backup *b = (backup *)callback;
    int every = cnn_save_freq_batches(b->save_freq);
    (void)index;
    (void)logs;
    if (event == CNN_TRAIN_BEGIN) return begin(b);
    if (event == CNN_RESUME) return is_there(b->latest) || is_there(b->previous) ? resume(b) : save(b);
    if (event == CNN_EPOCH_SAVE && every == 0) return save(b);
    if (event == CNN_BATCH_SAVE && every > 0 && ++b->batches >= every) return save(b);
    if (event == CNN_TRAIN_DONE) clean_up(b);
    return CNN_OK;
}

static cnn_status check(const cnn_callback *callback) {
    const backup *b = (const backup *)callback;
    if (!b->backup_dir || !*b->backup_dir)
        return cnn_fail(CNN_ERROR_ARGUMENT, "BackupAndRestore: 'backup_dir' must be the name of a folder");
    return cnn_save_freq_check("BackupAndRestore", b->save_freq);
}

static void close_callback(cnn_callback *callback) {
    backup *b = (backup *)callback;
    cnn_free(b->latest);
    cnn_free(b->previous);
}

static const cnn_param state[] = {CNN_PARAM(INT, backup, batches, NULL), {0}};

static const cnn_param params[] = {
    CNN_PARAM(STRING, backup, backup_dir, NULL, .help = "folder for the backup, of this training alone"),
    CNN_PARAM(JSON, backup, save_freq, "\"epoch\"", .help = "\"epoch\", or after how many batches to save"),
    CNN_PARAM(BOOL, backup, double_checkpoint, "false", .help = "keep the backup before the last one too"),
    CNN_PARAM(BOOL, backup, delete_checkpoint, "true", .help = "delete the backup when training has ended"),
    {0}};

extern const cnn_callback_class cnn_callback_backup;
/*** Goes on with a training that was interrupted, as if it never had been.
At the end of epochs, or every save_freq batches, it keeps weights, optimizer, random generators and the states of all
callbacks in the folder backup_dir; the same fit, called again, begins there and ends with the same weights, bit for
bit. When training has ended the backup is deleted.
@class cnn.callbacks.BackupAndRestore
@raise a backup of another model or training; a folder that cannot be written
@usage
function train(failing)
  local epochs, model = {}, cnn.Sequential{layers.Dense{1, input_shape = {1}}}
  model:compile{optimizer = "adam", loss = "mse"}
  local watch = cnn.callbacks.LambdaCallback{on_epoch_begin = function(epoch)
    table.insert(epochs, epoch)
    if epoch == failing then error "power cut" end
  end}
  pcall(model.fit, model, {cnn.ones{8, 1}, cnn.zeros{8, 1}, epochs = 5, verbose = 0,
    callbacks = {cnn.callbacks.BackupAndRestore{"backup"}, watch}})
  return epochs
end
train(3)  --> {1, 2, 3}
train()   --> {3, 4, 5}
*/
const cnn_callback_class cnn_callback_backup = {
    .class = CNN_CLASS("callback", "BackupAndRestore", NULL, backup, params),
    .check = check,
    .on = on,
    .close = close_callback,
    .state = state};
