/* ModelCheckpoint, as in Keras 3 (keras.src.callbacks.model_checkpoint): saves the model, or its weights, at the end of
 * epochs or every so many batches; each time, or when the monitored figure has become better.
 *
 * The name of the file may have fields of Python's str.format in it, {epoch:02d} or {val_loss:.2f}: the epoch (and the
 * batch, where batches are counted), from 1, and the figures of the logs. What is saved appears whole or not at all; if
 * that fails, training ends with the error. */
#include "io/keras_file.h"
#include "io/saving.h"
#include "train/monitor.h"
#include "train/trainer.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct model_checkpoint {
    cnn_callback head;
    char *filepath, *monitor;
    int verbose, mode;
    bool save_best_only, save_weights_only;
    cJSON *save_freq;
    double initial_value_threshold; /* NaN: none */
    /* state; as in Keras, a second run goes on with the best of the first */
    bool begun, warned;
    int batches; /* since the last save */
    double best;
} model_checkpoint;

/* ---- names ----------------------------------------------------------------------------------------------- */

enum { MOST_WIDTH = 64, MOST_DIGITS = 40, FIELD_TEXT = 512 };

/* {name:[0][width][.precision][type]} */
typedef struct field {
    const char *name;
    size_t length;
    bool zeros;
    int width, precision; /* precision: -1 if not given */
    char type;            /* one of dfFeEgG%, or 0 */
} field;

static int read_number(const char **at) {
    int number = 0;
    while (isdigit((unsigned char)**at)) {
        if (number < 1000) number = 10 * number + (**at - '0');
        ++*at;
    }
    return number;
}

/* Reads the field that begins after a brace; returns where its closing brace is, or NULL if it is none that is known. */
static const char *read_field(field *f, const char *at) {
    *f = (field){.name = at, .length = strcspn(at, ":{}"), .precision = -1};
    at += f->length;
    if (f->length == 0) return NULL;
    if (*at == ':') {
        at++;
        f->zeros = *at == '0';
        f->width = read_number(&at);
        if (*at == '.' && isdigit((unsigned char)at[1])) {
            at++;
            f->precision = read_number(&at);
        }
        if (*at && strchr("dfFeEgG%", *at)) f->type = *at++;
    }
    return *at == '}' && f->width <= MOST_WIDTH && f->precision <= MOST_DIGITS ? at : NULL;
}

static cnn_status fail_pattern(const char *pattern) {
    return cnn_fail(
        CNN_ERROR_ARGUMENT,
        "ModelCheckpoint: 'filepath' must be a name with fields like {epoch:02d} or {val_loss:.2f} "
        "({{ and }} for braces), got \"%s\"",
        pattern);
}

static cnn_status check_pattern(const char *pattern) {
    field f;
    for (const char *p = pattern; *p; p++) {
        if (*p != '{' && *p != '}') continue;
        if (p[1] == *p)
            p++;
        else if (*p == '}' || !(p = read_field(&f, p + 1)))
            return fail_pattern(pattern);
    }
    return CNN_OK;
}

/* As Python writes a float without a type: 0.5, 3.0, and with a precision that many digits. */
static void plain_number(char *text, size_t capacity, const field *f, double value) {
    char digits[CNN_NUMBER_TEXT + MOST_DIGITS];
    if (f->precision >= 0)
        snprintf(digits, sizeof digits, "%.*g", f->precision, value);
    else
        cnn_number_text(digits, value);
    bool whole = isfinite(value) && !strpbrk(digits, ".e");
    snprintf(text, capacity, "%s%s", digits, whole ? ".0" : "");
}

/* The number in the field's form; `whole`: it is an integer. False if the form is not for it. */
static bool format_field(char text[FIELD_TEXT], const field *f, double value, bool whole) {
    char form[16], body[FIELD_TEXT - MOST_WIDTH];
    bool percent = f->type == '%';
    if (f->type == 'd' && (!whole || f->precision >= 0)) return false;
    if (whole && !f->type && f->precision >= 0) return false;
    if (f->type == 'd' || (whole && !f->type)) {
        snprintf(body, sizeof body, "%.0f", value);
    } else if (!f->type) {
        plain_number(body, sizeof body, f, value);
    } else {
        snprintf(form, sizeof form, "%%.*%c%s", percent ? 'f' : f->type, percent ? "%%" : "");
        snprintf(body, sizeof body, form, f->precision < 0 ? 6 : f->precision, percent ? 100 * value : value);
    }
    size_t length = strlen(body), sign = f->zeros && *body == '-', n = 0;
    if (sign) text[n++] = '-';
    for (; n + length - sign < (size_t)f->width; n++) text[n] = f->zeros ? '0' : ' ';
    strcpy(text + n, body + sign);
    return true;
}

static bool is_name(const field *f, const char *name) {
    return strlen(name) == f->length && memcmp(f->name, name, f->length) == 0;
}

static cnn_status fail_field(const model_checkpoint *c, const field *f, int batch, const cnn_logs *logs) {
    cnn_text names = {0};
    cnn_text_add(&names, batch < 0 ? "epoch" : "epoch, batch");
    for (int i = 0; logs && i < logs->count; i++) cnn_text_add(&names, ", %s", logs->names[i]);
    cnn_status status =
        cnn_fail(CNN_ERROR_ARGUMENT, "ModelCheckpoint: there is no '%.*s' for the name \"%s\"; known are %s",
                 (int)f->length, f->name, c->filepath, names.bytes ? names.bytes : "others");
    cnn_text_free(&names);
    return status;
}

static cnn_status add_field(cnn_text *path, const model_checkpoint *c, const field *f, int batch,
                            const cnn_logs *logs) {
    char text[FIELD_TEXT];
    bool found = true, whole = true;
    double value = c->head.run->state->epoch + 1;
    if (is_name(f, "batch") && batch >= 0) {
        value = batch + 1;
    } else if (!is_name(f, "epoch")) {
        whole = found = false;
        for (int i = 0; logs && i < logs->count && !found; i++)
            if ((found = is_name(f, logs->names[i]))) value = logs->values[i];
    }
    if (!found) return fail_field(c, f, batch, logs);
    if (!format_field(text, f, value, whole)) return fail_pattern(c->filepath);
    cnn_text_add(path, "%s", text);
    return CNN_OK;
}

/* The name for this epoch and, if it is not negative, batch (free). */
static cnn_status make_path(char **out, const model_checkpoint *c, int batch, const cnn_logs *logs) {
    cnn_text path = {0};
    cnn_status status = CNN_OK;
    for (const char *p = c->filepath; *p && status == CNN_OK; p++) {
        field f;
        if (*p == '{' && p[1] != '{') {
            p = read_field(&f, p + 1);
            status = add_field(&path, c, &f, batch, logs);
            continue;
        }
        cnn_text_add(&path, "%c", *p);
        if (*p == '{' || *p == '}') p++;
    }
    char *text = cnn_text_take(&path);
    if (status == CNN_OK && !text) status = cnn_fail_memory(strlen(c->filepath));
    if (status == CNN_OK)
        *out = text;
    else
        free(text);
    return status;
}

/* ---- saving ---------------------------------------------------------------------------------------------- */

static void say_improved(const model_checkpoint *c, double value, const char *path) {
    int epoch = c->head.run->state->epoch + 1;
    if (c->verbose <= 0) return;
    if (c->save_best_only)
        cnn_callback_say(&c->head, "\nEpoch %d: %s improved from %.5f to %.5f, saving model to %s", epoch,
                         c->monitor, c->best, value, path);
    else
        cnn_callback_say(&c->head, "\nEpoch %d: saving model to %s", epoch, path);
}

static cnn_status write_file(const model_checkpoint *c, int batch, const cnn_logs *logs, double value) {
    char *path;
    cnn_model *model = c->head.run->model;
    CNN_TRY(make_path(&path, c, batch, logs));
    say_improved(c, value, path);
    cnn_status status = cnn_make_folder_of(path);
    if (status == CNN_OK)
        status =
            c->save_weights_only ? cnn_model_save_weights(model, path) : cnn_model_save(model, path, true);
    free(path);
    return status == CNN_OK ? status : cnn_fail_in(status, "ModelCheckpoint");
}

static cnn_status save(model_checkpoint *c, int batch, const cnn_logs *logs) {
    bool found;
    if (!c->save_best_only) return write_file(c, batch, logs, 0);
    double value = cnn_logs_get(logs, c->monitor, &found);
    if (!found) {
        if (!c->warned)
            cnn_callback_say(&c->head, "Can save best model only with %s available, skipping.", c->monitor);
        c->warned = true;
        return CNN_OK;
    }
    if (cnn_monitor_better(cnn_monitor_rises(c->monitor, c->mode), value, c->best, 0)) {
        CNN_TRY(write_file(c, batch, logs, value));
        c->best = value;
    } else if (c->verbose > 0) {
        cnn_callback_say(&c->head, "\nEpoch %d: %s did not improve from %.5f", c->head.run->state->epoch + 1,
                         c->monitor, c->best);
    }
    return CNN_OK;
}

static void begin(model_checkpoint *c) {
    if (c->begun) return;
    c->begun = true;
    c->best = isnan(c->initial_value_threshold) ? cnn_monitor_worst(cnn_monitor_rises(c->monitor, c->mode))
                                                : c->initial_value_threshold;
}

static cnn_status on(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    model_checkpoint *c = (model_checkpoint *)callback;
    int every = cnn_save_freq_batches(c->save_freq);
    if (event == CNN_TRAIN_BEGIN) begin(c);
    if (event == CNN_EPOCH_END && every == 0) return save(c, -1, logs);
    if (event != CNN_TRAIN_BATCH_END || every == 0 || ++c->batches < every) return CNN_OK;
    c->batches = 0;
    return save(c, index, logs);
}

/* ---- the class ------------------------------------------------------------------------------------------- */

static cnn_status check(const cnn_callback *callback) {
    const model_checkpoint *c = (const model_checkpoint *)callback;
    const char *path = c->filepath ? c->filepath : "",
               *third = c->save_weights_only ? ".safetensors" : ".keras";
    if (!c->monitor)
        return cnn_fail(CNN_ERROR_ARGUMENT, "ModelCheckpoint: 'monitor' must be a string, got null");
    if (!cnn_name_ends_in(path, ".h5") && !cnn_name_ends_in(path, ".hdf5") && !cnn_name_ends_in(path, third))
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "ModelCheckpoint: 'filepath' must end in .h5, .hdf5 or %s%s, got \"%s\"", third,
                        c->save_weights_only ? " (save_weights_only)" : "", path);
    CNN_TRY(check_pattern(path));
    return cnn_save_freq_check("ModelCheckpoint", c->save_freq);
}

static const cnn_param state[] = {CNN_PARAM(BOOL, model_checkpoint, begun, NULL),
                                  CNN_PARAM(BOOL, model_checkpoint, warned, NULL),
                                  CNN_PARAM(INT, model_checkpoint, batches, NULL),
                                  CNN_PARAM(FLOAT, model_checkpoint, best, NULL, .nullable = true),
                                  {0}};

static const cnn_param params[] = {
    CNN_PARAM(STRING, model_checkpoint, filepath, NULL,
              .help = "file to write; {epoch:02d}, {val_loss:.2f} and the like are filled in"),
    CNN_PARAM(STRING, model_checkpoint, monitor, "\"val_loss\"", .help = "the figure to watch"),
    CNN_PARAM(INT, model_checkpoint, verbose, "0", .help = "1: tell what is done"),
    CNN_PARAM(BOOL, model_checkpoint, save_best_only, "false",
              .help = "save only when the figure has become better"),
    CNN_PARAM(BOOL, model_checkpoint, save_weights_only, "false",
              .help = "save the weights alone, not the whole model"),
    CNN_PARAM(CHOICE, model_checkpoint, mode, "\"auto\"", .choices = CNN_MODE_CHOICES,
              .help = "whether lower or higher is better; auto goes by the figure's name"),
    CNN_PARAM(JSON, model_checkpoint, save_freq, "\"epoch\"",
              .help = "\"epoch\", or after how many batches to save"),
    CNN_PARAM(FLOAT, model_checkpoint, initial_value_threshold, "null", .nullable = true,
              .help = "only figures better than this are saved"),
    {0}};

extern const cnn_callback_class cnn_callback_model_checkpoint;
/*** Saves the model while it is trained: after each epoch, or when a figure has become better.
The name of the file decides its kind, as for model:save: .keras, .h5 or .hdf5, and with save_weights_only .weights.h5
or .safetensors. Fields like {epoch:02d} and {val_loss:.2f} in the name are filled in. A file is there whole or not at
all.
@class cnn.callbacks.ModelCheckpoint
@raise a name of a file with fields that are not known; a file that cannot be written
@usage
model = cnn.Sequential{layers.Dense{1, input_shape = {1}, kernel_initializer = "ones"}}
model:compile{optimizer = cnn.optimizers.SGD{0.25}, loss = "mse"}
best = cnn.callbacks.ModelCheckpoint{"best.keras", monitor = "loss", save_best_only = true, verbose = 1}
history = model:fit{cnn.ones{8, 1}, cnn.zeros{8, 1}, epochs = 2, verbose = 0, callbacks = {best}}
--> 
--> Epoch 1: loss improved from inf to 1.00000, saving model to best.keras
--> 
--> Epoch 2: loss improved from 1.00000 to 0.00000, saving model to best.keras
cnn.load_model("best.keras"):count_params()  --> 2
*/
const cnn_callback_class cnn_callback_model_checkpoint = {
    .class = CNN_CLASS("callback", "ModelCheckpoint", NULL, model_checkpoint, params),
    .check = check,
    .on = on,
    .state = state};
