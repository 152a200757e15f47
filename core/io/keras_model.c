/* Models as files: an HDF5 file as Keras 2 writes it, or an archive as Keras 3 does, and either read back.
 *
 *   .h5      attributes model_config, training_config; groups model_weights, optimizer_weights
 *   .keras   metadata.json, config.json (with compile_config), model.weights.h5
 *
 * What training needs to go on as if never interrupted, and Keras has no place for, is an attribute of the HDF5 file's
 * root, which Keras passes over: {"seed": of the trainer, in hexadecimal, "op_seeds": […]}. */
#include "io/compile_config.h"
#include "io/keras_file.h"
#include "io/keras_weights.h"
#include "train/trainer.h"
#include "base/memory.h"
#include "base/status.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATE "cnnlua_state"

static bool is_compiled(const cnn_model *model) {
    return model->trainer && model->trainer->optimizer;
}

/* Takes the JSON over. */
static cnn_status set_json(cnn_h5_node *node, const char *name, cJSON *json) {
    char *text = cnn_json_print(json);
    cnn_status status = text ? cnn_h5_set_text(node, name, text) : cnn_fail_memory(1024);
    free(text);
    return status;
}

/* ---- the state of randomness ----------------------------------------------------------------------------- */

static cnn_status fill_state(cJSON *state, const cnn_model *model) {
    char seed[24];
    cJSON *seeds;
    CNN_TRY(cnn_model_get_seeds(&seeds, model));
    if (!cJSON_AddItemToObject(state, "op_seeds", seeds)) {
        cJSON_Delete(seeds);
        return cnn_fail_memory(sizeof *seeds);
    }
    if (!model->trainer) return CNN_OK;
    snprintf(seed, sizeof seed, "%016" PRIx64, model->trainer->seed);
    return cJSON_AddStringToObject(state, "seed", seed) ? CNN_OK : cnn_fail_memory(sizeof(cJSON));
}

static cnn_status write_state(cnn_h5_node *root, const cnn_model *model) {
    cJSON *state = cJSON_CreateObject();
    cnn_status status = state ? fill_state(state, model) : cnn_fail_memory(sizeof *state);
    if (status == CNN_OK) return set_json(root, STATE, state);
    cJSON_Delete(state);
    return status;
}

/* A state that does not fit, or none as in Keras's files, changes nothing. */
static cnn_status read_state(cnn_model *model, const cnn_h5_node *root) {
    const char *text = cnn_h5_text(root, STATE);
    cJSON *state = text ? cJSON_Parse(text) : NULL;
    const cJSON *seed = cJSON_GetObjectItemCaseSensitive(state, "seed");
    if (model->trainer && cJSON_IsString(seed)) model->trainer->seed = strtoull(seed->valuestring, NULL, 16);
    cnn_status status = cnn_model_set_seeds(model, cJSON_GetObjectItemCaseSensitive(state, "op_seeds"));
    cJSON_Delete(state);
    return status == CNN_ERROR_ARGUMENT ? CNN_OK : status;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

static cnn_status fill_hdf5(cnn_h5_node *root, cnn_model *model, bool with_optimizer) {
    cJSON *json;
    cnn_h5_node *weights;
    CNN_TRY(cnn_h5_set_text(root, "backend", "tensorflow"));
    CNN_TRY(cnn_h5_set_text(root, "keras_version", CNN_KERAS_VERSION_2));
    CNN_TRY(cnn_model_spec_json(&json, model, CNN_KERAS_2));
    CNN_TRY(set_json(root, "model_config", json));
    CNN_TRY(cnn_h5_group(&weights, root, "model_weights"));
    CNN_TRY(cnn_weights_write(weights, model, CNN_WEIGHTS_KERAS_2));
    CNN_TRY(write_state(root, model));
    if (!with_optimizer) return CNN_OK;
    CNN_TRY(cnn_compile_config_write(&json, model, CNN_KERAS_2));
    CNN_TRY(set_json(root, "training_config", json));
    return cnn_optimizer_write(root, model, CNN_WEIGHTS_KERAS_2);
}

static cnn_status save_hdf5(cnn_model *model, const char *path, bool with_optimizer) {
    cnn_h5_node *root;
    CNN_TRY(cnn_h5_new(&root));
    cnn_status status = fill_hdf5(root, model, with_optimizer);
    if (status == CNN_OK) status = cnn_h5_write(root, path);
    cnn_h5_free(root);
    return status;
}

static cnn_status config_text(char **out, const cnn_model *model, bool with_optimizer) {
    cJSON *spec, *compile;
    CNN_TRY(cnn_model_spec_json(&spec, model, CNN_KERAS_3));
    if (with_optimizer) {
        cnn_status status = cnn_compile_config_write(&compile, model, CNN_KERAS_3);
        if (status == CNN_OK && !cJSON_AddItemToObject(spec, "compile_config", compile)) {
            cJSON_Delete(compile);
            status = cnn_fail_memory(64);
        }
        if (status != CNN_OK) {
            cJSON_Delete(spec);
            return status;
        }
    }
    *out = cnn_json_print(spec);
    return *out ? CNN_OK : cnn_fail_memory(1024);
}

static const char *metadata(char *buffer, size_t capacity) {
    char date[32] = "";
    time_t now = time(NULL);
    struct tm parts;
    if (localtime_r(&now, &parts)) strftime(date, sizeof date, "%Y-%m-%d@%H:%M:%S", &parts);
    snprintf(buffer, capacity, "{\"keras_version\": \"%s\", \"date_saved\": \"%s\"}", CNN_KERAS_VERSION_3,
             date);
    return buffer;
}

static cnn_status fill_weights(cnn_h5_node *root, cnn_model *model, bool with_optimizer) {
    CNN_TRY(cnn_weights_write(root, model, CNN_WEIGHTS_KERAS_3));
    CNN_TRY(write_state(root, model));
    return with_optimizer ? cnn_optimizer_write(root, model, CNN_WEIGHTS_KERAS_3) : CNN_OK;
}

static cnn_status weights_bytes(void **bytes, size_t *size, cnn_model *model, bool with_optimizer) {
    cnn_h5_node *root;
    CNN_TRY(cnn_h5_new(&root));
    cnn_status status = fill_weights(root, model, with_optimizer);
    if (status == CNN_OK) status = cnn_h5_bytes(bytes, size, root);
    cnn_h5_free(root);
    return status;
}

static cnn_status save_archive(cnn_model *model, const char *path, bool with_optimizer) {
    char about[128], *config = NULL;
    void *weights = NULL;
    size_t size = 0;
    metadata(about, sizeof about);
    cnn_status status = config_text(&config, model, with_optimizer);
    if (status == CNN_OK) status = weights_bytes(&weights, &size, model, with_optimizer);
    if (status == CNN_OK) {
        const cnn_member members[] = {{.name = "metadata.json", .bytes = about, .size = strlen(about)},
                                      {.name = "config.json", .bytes = config, .size = strlen(config)},
                                      {.name = CNN_WEIGHTS_MEMBER, .bytes = weights, .size = size}};
        status = cnn_archive_write(path, members, 3, false);
    }
    cnn_free(weights);
    free(config);
    return status;
}

static cnn_status save_by_name(cnn_model *model, const char *path, bool with_optimizer) {
    if (cnn_name_ends_in(path, ".weights.h5"))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s is a name for weights alone: use save_weights", path);
    if (cnn_name_ends_in(path, ".keras")) return save_archive(model, path, with_optimizer);
    if (cnn_name_ends_in(path, ".h5") || cnn_name_ends_in(path, ".hdf5"))
        return save_hdf5(model, path, with_optimizer);
    return cnn_fail(CNN_ERROR_ARGUMENT, "the name must end in .keras, .h5 or .hdf5, got %s", path);
}

cnn_status cnn_model_save(cnn_model *model, const char *path, bool include_optimizer) {
    CNN_TRY(cnn_model_expect_built(model, "save"));
    cnn_status status = save_by_name(model, path, include_optimizer && is_compiled(model));
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "save");
}

/* ---- reading --------------------------------------------------------------------------------------------- */

/* A file's parts, whichever kind it is. */
typedef struct parts {
    cJSON *spec;    /* of the model; NULL: there are weights alone */
    cJSON *compile; /* borrowed from spec or own_compile; NULL: none */
    cJSON *own_compile;
    cnn_h5_node *weights; /* the root of the HDF5 file */
} parts;

static void free_parts(parts *p) {
    cJSON_Delete(p->spec);
    cJSON_Delete(p->own_compile);
    cnn_h5_free(p->weights);
}

static cnn_status parse(cJSON **out, const char *path, const char *what, const char *text) {
    cnn_status status = cnn_json_parse(out, what, text);
    if (status == CNN_OK || status == CNN_ERROR_MEMORY) return status;
    char where[512];
    snprintf(where, sizeof where, "%.400s", path);
    cnn_fail_in(status, where);
    return CNN_ERROR_FORMAT;
}

static cnn_status open_hdf5(parts *p, const char *path) {
    CNN_TRY(cnn_h5_read(&p->weights, path));
    const char *model = cnn_h5_text(p->weights, "model_config");
    const char *training = cnn_h5_text(p->weights, "training_config");
    if (model) CNN_TRY(parse(&p->spec, path, "model_config", model));
    if (training) CNN_TRY(parse(&p->own_compile, path, "training_config", training));
    p->compile = p->own_compile;
    return CNN_OK;
}

static cnn_status open_members(parts *p, cnn_archive *archive, const char *path) {
    void *bytes;
    size_t size;
    CNN_TRY(cnn_keras_member(&bytes, &size, archive, path, "config.json"));
    cnn_status status = parse(&p->spec, path, "config.json", bytes);
    cnn_free(bytes);
    CNN_TRY(status);
    p->compile = cJSON_GetObjectItemCaseSensitive(p->spec, "compile_config");
    CNN_TRY(cnn_keras_member(&bytes, &size, archive, path, CNN_WEIGHTS_MEMBER));
    status = cnn_h5_read_bytes(&p->weights, path, bytes, size);
    cnn_free(bytes);
    return status;
}

static cnn_status open_archive(parts *p, const char *path) {
    cnn_archive *archive;
    CNN_TRY(cnn_archive_open(&archive, path));
    cnn_status status = open_members(p, archive, path);
    cnn_archive_close(archive);
    return status;
}

static cnn_status open_parts(parts *p, const char *path) {
    cnn_file_kind kind = CNN_KIND_OTHER;
    CNN_TRY(cnn_file_kind_of(&kind, path));
    if (kind == CNN_KIND_ARCHIVE) return open_archive(p, path);
    if (kind == CNN_KIND_HDF5) return open_hdf5(p, path);
    return cnn_fail(CNN_ERROR_FORMAT, "%s is not a model: neither an HDF5 file nor a .keras archive%s", path,
                    kind == CNN_KIND_SAFETENSORS ? ", but safetensors: weights alone, for load_weights" : "");
}

static cnn_status expect_model(const parts *p, const char *path) {
    if (p->spec) return CNN_OK;
    return cnn_fail(CNN_ERROR_FORMAT,
                    "%s holds weights alone; build the model, then read them with load_weights", path);
}

static cnn_status fill_model(cnn_model *model, const parts *p, bool compile, cnn_text *notes) {
    const cnn_weights_options strict = {0};
    if (model->n_outputs == 0)
        return cnn_fail(CNN_ERROR_FORMAT, "the file does not tell the shape of the model's input");
    CNN_TRY(cnn_weights_read(model, p->weights, &strict, notes));
    if (compile && p->compile && !cJSON_IsNull(p->compile)) {
        CNN_TRY(cnn_compile_config_read(model, p->compile, notes));
        if (is_compiled(model)) CNN_TRY(cnn_optimizer_read(model, p->weights, notes));
    }
    return read_state(model, p->weights);
}

static int64_t bytes_of_weights(const cnn_h5_node *node) {
    int64_t bytes = node->value && node->value->tensor ? (int64_t)cnn_tensor_bytes(node->value->tensor) : 0;
    for (int i = 0; i < node->child_count; i++) bytes += bytes_of_weights(node->children[i]);
    return bytes;
}

static cnn_status make_model(cnn_model **out, const parts *p, const cnn_load_options *options,
                             cnn_text *notes) {
    cnn_model *model = NULL;
    CNN_TRY(cnn_model_from_spec(&model, p->spec, options, bytes_of_weights(p->weights)));
    cnn_status status = fill_model(model, p, !options || !options->no_compile, notes);
    if (status == CNN_OK)
        *out = model;
    else
        cnn_model_release(model);
    return status;
}

cnn_status cnn_model_load(cnn_model **out, const char *path, const cnn_load_options *options, char **notes) {
    parts p = {0};
    cnn_text text = {0};
    cnn_status status = open_parts(&p, path);
    if (status == CNN_OK) status = expect_model(&p, path);
    if (status == CNN_OK) {
        status = make_model(out, &p, options, &text);
        if (status != CNN_OK) cnn_fail_in(status, path);
    }
    free_parts(&p);
    if (status != CNN_OK) status = cnn_fail_in(status, "load_model");
    return cnn_hand_over_notes(&text, notes, status);
}
