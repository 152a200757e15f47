/* Models from JSON, as Keras 2.2 to 3 write it. See config.c for the two ways in which calls are told.
 *
 * A file may hold anything. So nothing of it is trusted: every name is looked up, every number checked, layers that
 * depend on each other in a circle are found, and what a small text can ask for is bounded (the limits below). Code in it
 * is never run. All layers of a model are tried before it is given up, so that one error names all that are missing. */
#include "model/draft.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* Models within models; layers in all; calls of layers in all, those within a called model counted each time. The largest
 * networks that are in use stay below a tenth of these. */
enum { MAX_DEPTH = 64, MAX_LAYERS = 8192, MAX_CALLS = 65536 };

/* ---- plain values ---------------------------------------------------------------------------------------- */

/* What Keras wraps to keep its kind, as the value itself: tuples, shapes, arrays, seeds. Detached from json, or NULL. */
static cJSON *unwrap(cJSON *json) {
    cJSON *config = cJSON_GetObjectItemCaseSensitive(json, "config");
    const cJSON *class = cnn_json_get(json, "class_name");
    if (cnn_json_is(class, "__tuple__") || cnn_json_is(class, "TensorShape"))
        return cJSON_DetachItemFromObjectCaseSensitive(json, "items");
    if (cnn_json_is(class, "__numpy__") || cnn_json_is(class, "__tensor__"))
        return cJSON_DetachItemFromObjectCaseSensitive(config, "value");
    if (cnn_json_is(class, "SeedGenerator")) return cJSON_DetachItemFromObjectCaseSensitive(config, "seed");
    return NULL;
}

static void make_plain(cJSON *json) {
    for (cJSON *item = json->child, *next; item; item = next) {
        next = item->next;
        cJSON *value = cJSON_IsObject(item) ? unwrap(item) : NULL;
        make_plain(value ? value : item);
        if (!value) continue;
        bool replaced = item->string ? cJSON_ReplaceItemInObjectCaseSensitive(json, item->string, value)
                                     : cJSON_ReplaceItemViaPointer(json, item, value);
        if (!replaced) cJSON_Delete(value);
    }
}

/* ---- one layer ------------------------------------------------------------------------------------------- */

/* What any layer of some version's may have in its config beside its arguments. */
static const cnn_param everywhere[] = {CNN_IGNORED_PARAM("input_dtype"),
                                       CNN_IGNORED_PARAM("batch_size"),
                                       CNN_IGNORED_PARAM("autocast"),
                                       CNN_IGNORED_PARAM("dynamic"),
                                       CNN_UNSUPPORTED_PARAM("activity_regularizer"),
                                       {0}};

static bool has_param(const cnn_class *class, const char *name) {
    for (const cnn_param *p = class->params; p->name; p++)
        if (strcmp(p->name, name) == 0) return true;
    return false;
}

/* Takes out of config what the class has no argument for but may be there all the same. */
static cnn_status take_extras(cJSON *config, const cnn_class *class) {
    cJSON *extras = cJSON_CreateObject();
    bool fine = extras;
    for (const cnn_param *p = everywhere; fine && p->name; p++) {
        if (has_param(class, p->name)) continue;
        cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(config, p->name);
        if (!item || cJSON_AddItemToObject(extras, p->name, item)) continue;
        cJSON_Delete(item);
        fine = false;
    }
    cnn_status status = fine ? cnn_params_read(class->name, everywhere, extras, NULL) : cnn_fail_memory(64);
    cJSON_Delete(extras);
    return status;
}

/* A copy of the layer's config that has its name. */
static cnn_status copy_config(cJSON **out, const cnn_entry *e) {
    const cJSON *given = cnn_json_get(e->json, "config");
    if (given && !cJSON_IsObject(given) && !cJSON_IsNull(given))
        return cnn_fail(CNN_ERROR_ARGUMENT, "'config' must be an object");
    cJSON *config = cJSON_IsObject(given) ? cJSON_Duplicate(given, true) : cJSON_CreateObject();
    bool named = cJSON_IsString(cnn_json_get(config, "name")) || !e->name;
    if (config && !named) {
        cJSON_DeleteItemFromObjectCaseSensitive(config, "name");
        named = cJSON_AddStringToObject(config, "name", e->name);
    }
    if (!config || !named) {
        cJSON_Delete(config);
        return cnn_fail_memory(64);
    }
    *out = config;
    return CNN_OK;
}

static cnn_status make_known(cnn_layer **out, const cnn_entry *e, const cnn_class *class) {
    cJSON *config;
    CNN_TRY(copy_config(&config, e));
    cnn_status status = take_extras(config, class);
    if (status == CNN_OK) status = cnn_layer_create(out, class, config);
    cJSON_Delete(config);
    return status;
}

static cnn_status make_custom(cnn_layer **out, const cnn_reader *r, const cnn_entry *e,
                              const char *class_name) {
    cJSON *config;
    CNN_TRY(copy_config(&config, e));
    char *text = cnn_json_print(config);
    if (!text) return cnn_fail_memory(256);
    cnn_status status = r->options->make_layer(out, class_name, text, r->options->make_layer_data);
    free(text);
    return status;
}

/* "Package>Scale" → "Scale": how classes that are not Keras's are registered. */
static const char *after_package(const char *name) {
    const char *mark = strrchr(name, '>');
    return mark ? mark + 1 : name;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* True unless the spec says that its class is not one of Keras's layers. */
static bool is_keras(const cJSON *json) {
    const char *module = cnn_json_text(json, "module"), *registered = cnn_json_text(json, "registered_name");
    if (strchr(cnn_json_text(json, "class_name"), '>') || (registered && strchr(registered, '>')))
        return false;
    return !module || begins(module, "keras") || begins(module, "tf_keras") || begins(module, "tensorflow") ||
           begins(module, "builtins");
}

/* x + y on Keras's tensors, which it puts into a model as if they were layers. */
static bool is_operation(const cJSON *json) {
    const char *module = cnn_json_text(json, "module"), *class = cnn_json_text(json, "class_name");
    return (module && strstr(module, ".ops")) || strcmp(class, "TFOpLambda") == 0 ||
           strcmp(class, "SlicingOpLambda") == 0 || strcmp(class, "TensorFlowOpLayer") == 0;
}

static const cnn_class *find_class(const char *name) {
    for (int i = 0; cnn_layer_classes[i]; i++) {
        const cnn_class *class = cnn_layer_classes[i];
        if (strcmp(class->name, name) == 0 || (class->aliases && cnn_choice_find(class->aliases, name) >= 0))
            return class;
    }
    return NULL;
}

/* A class of the user's own that is built as a functional model is one. */
static bool is_model(const cJSON *json) {
    const char *class = cnn_json_text(json, "class_name");
    if (strcmp(class, "Sequential") == 0 || strcmp(class, "Functional") == 0 || strcmp(class, "Model") == 0)
        return true;
    const cJSON *config = cnn_json_get(json, "config");
    return cnn_json_get(config, "layers") && cnn_json_get(config, "input_layers") &&
           cnn_json_get(config, "output_layers");
}

static cnn_status read_model(cnn_model **out, cnn_reader *r, const cJSON *spec, int64_t *cost);

static cnn_status make_layer(cnn_reader *r, cnn_entry *e) {
    const char *class_name = cnn_json_text(e->json, "class_name");
    if (!class_name) return cnn_fail(CNN_ERROR_ARGUMENT, "'class_name' must be a string");
    if (strcmp(after_package(class_name), "Lambda") == 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "code in files is never run");
    if (is_operation(e->json))
        return cnn_fail(CNN_ERROR_ARGUMENT, "operations outside layers are not supported");
    if (is_model(e->json)) {
        cnn_model *model;
        CNN_TRY(read_model(&model, r, e->json, &e->cost));
        e->layer = cnn_model_as_layer(model);
        return CNN_OK;
    }
    e->cost = 1;
    const cnn_class *class = is_keras(e->json) ? find_class(class_name) : NULL;
    if (class) return make_known(&e->layer, e, class);
    if (r->options && r->options->make_layer) return make_custom(&e->layer, r, e, after_package(class_name));
    return cnn_fail(CNN_ERROR_ARGUMENT, "unknown class");
}

/* ---- all layers of a model ------------------------------------------------------------------------------- */

static void free_entries(cnn_draft *d) {
    for (int i = 0; i < d->count; i++) cnn_layer_release(d->entries[i].layer);
    cnn_free(d->entries);
}

static cnn_status open_entries(cnn_draft *d, const cJSON *layers) {
    if (!cJSON_IsArray(layers))
        return cnn_fail(CNN_ERROR_FORMAT, "model '%s': its 'layers' must be a list", d->name ? d->name : "");
    int count = cJSON_GetArraySize(layers);
    if (count > d->reader->layers_left)
        return cnn_fail(CNN_ERROR_FORMAT, "the model has more than %d layers", MAX_LAYERS);
    d->reader->layers_left -= count;
    d->entries = cnn_calloc((size_t)count * sizeof *d->entries);
    if (!d->entries) return cnn_fail_memory((size_t)count * sizeof *d->entries);
    const cJSON *json;
    cJSON_ArrayForEach(json, layers) {
        const char *name = cnn_json_text(json, "name");
        if (!name) name = cnn_json_text(cnn_json_get(json, "config"), "name");
        d->entries[d->count++] = (cnn_entry){.json = json, .name = name, .lowest = INT32_MAX};
    }
    return CNN_OK;
}

/* Makes the layers. Those that cannot be made are listed in one error; where memory is out or the spec is none it ends at
 * once. */
static cnn_status make_layers(cnn_draft *d) {
    cnn_text list = {0};
    int missing = 0;
    for (int i = 0; i < d->count; i++) {
        cnn_entry *e = &d->entries[i];
        cnn_status status = make_layer(d->reader, e);
        if (status == CNN_ERROR_MEMORY || status == CNN_ERROR_FORMAT) {
            cnn_text_free(&list);
            return status;
        }
        if (status == CNN_OK) continue;
        const char *class_name = cnn_json_text(e->json, "class_name");
        cnn_text_add(&list, "%s layer %d '%.60s' (%.60s): %.400s", missing++ ? ";" : "", i + 1,
                     e->name ? e->name : "", class_name ? class_name : "?", cnn_error_message());
    }
    cnn_status status = CNN_OK;
    if (missing > 0)
        status = list.failed ? cnn_fail_memory(256)
                             : cnn_fail(CNN_ERROR_ARGUMENT, "cannot build model '%.60s': %d of %d layers:%s",
                                        d->name ? d->name : "", missing, d->count, list.bytes);
    cnn_text_free(&list);
    return status;
}

/* Counts calls to come. */
cnn_status cnn_draft_expect_calls(cnn_reader *r, int64_t cost, int64_t *total) {
    *total += cost;
    r->calls_left -= cost;
    if (r->calls_left >= 0) return CNN_OK;
    return cnn_fail(CNN_ERROR_FORMAT, "the model calls layers more than %d times", MAX_CALLS);
}

/* ---- Sequential ------------------------------------------------------------------------------------------ */

/* Builds for the shape, unless the model is built, or the shape is none or leaves sizes open. */
static cnn_status build_for(cnn_model *model, const cJSON *shape) {
    int64_t sizes[CNN_MAX_RANK];
    int rank = 0;
    if (model->n_outputs > 0 || model->layer_count == 0 || !cJSON_IsArray(shape)) return CNN_OK;
    const cJSON *item;
    cJSON_ArrayForEach(item, shape) {
        int size = -1;
        if (rank == CNN_MAX_RANK || (rank > 0 && !cnn_json_whole(item, &size))) return CNN_OK;
        sizes[rank++] = size;
    }
    return rank > 0 ? cnn_model_build(model, rank, sizes) : CNN_OK;
}

static cnn_status add_layers(cnn_model *model, const cnn_draft *d, int64_t *cost) {
    for (int i = 0; i < d->count; i++) {
        CNN_TRY(cnn_draft_expect_calls(d->reader, d->entries[i].cost, cost));
        CNN_TRY(cnn_model_add(model, d->entries[i].layer));
    }
    return CNN_OK;
}

static cnn_status read_sequential(cnn_model **out, cnn_draft *d, const cJSON *spec, int64_t *cost) {
    const cJSON *config = cnn_json_get(spec, "config");
    CNN_TRY(open_entries(d, cJSON_IsArray(config) ? config : cnn_json_get(config, "layers")));
    CNN_TRY(make_layers(d));
    cnn_model *model;
    CNN_TRY(cnn_sequential_new(&model, d->name));
    cnn_status status = add_layers(model, d, cost);
    if (status == CNN_OK) status = build_for(model, cnn_json_get(config, "build_input_shape"));
    if (status == CNN_OK)
        status = build_for(model, cnn_json_get(cnn_json_get(spec, "build_config"), "input_shape"));
    if (status == CNN_OK)
        *out = model;
    else
        cnn_model_release(model);
    return status;
}

/* ---- Functional ------------------------------------------------------------------------------------------- */

static cnn_status read_functional(cnn_model **out, cnn_draft *d, const cJSON *spec, int64_t *cost) {
    const cJSON *config = cnn_json_get(spec, "config");
    CNN_TRY(open_entries(d, cnn_json_get(config, "layers")));
    CNN_TRY(make_layers(d));
    return cnn_draft_wire(out, d, config, cost);
}

/* ---- models ---------------------------------------------------------------------------------------------- */

static cnn_status read_model(cnn_model **out, cnn_reader *r, const cJSON *spec, int64_t *cost) {
    const cJSON *config = cnn_json_get(spec, "config");
    cnn_draft d = {.reader = r, .name = cnn_json_text(config, "name")};
    if (!cnn_json_text(spec, "class_name") || !(cJSON_IsObject(config) || cJSON_IsArray(config)))
        return cnn_fail(CNN_ERROR_FORMAT, "a model must have a 'class_name' and a 'config'");
    if (!is_model(spec))
        return cnn_fail(CNN_ERROR_ARGUMENT, "'%.60s' is not a model of layers",
                        cnn_json_text(spec, "class_name"));
    if (r->depth == MAX_DEPTH)
        return cnn_fail(CNN_ERROR_FORMAT, "models are more than %d deep within each other", MAX_DEPTH);
    r->depth++;
    *cost = 0;
    bool sequential = strcmp(cnn_json_text(spec, "class_name"), "Sequential") == 0;
    cnn_model *model = NULL;
    cnn_status status =
        sequential ? read_sequential(&model, &d, spec, cost) : read_functional(&model, &d, spec, cost);
    free_entries(&d);
    r->depth--;
    CNN_TRY(status);
    if (cJSON_IsFalse(cnn_json_get(config, "trainable"))) cnn_layer_set_trainable(&model->layer, false);
    *out = model;
    return CNN_OK;
}

cnn_status cnn_model_from_spec(cnn_model **out, const cJSON *spec, const cnn_load_options *options,
                               int64_t most_weights) {
    cnn_reader r = {.options = options, .layers_left = MAX_LAYERS, .calls_left = MAX_CALLS};
    cJSON *plain = cJSON_IsObject(spec) ? cJSON_Duplicate(spec, true) : NULL;
    if (!cJSON_IsObject(spec)) return cnn_fail(CNN_ERROR_FORMAT, "a model must be told by an object");
    if (!plain) return cnn_fail_memory(256);
    make_plain(plain);
    int64_t cost, before = cnn_layer_weight_budget(most_weights);
    cnn_status status = read_model(out, &r, plain, &cost);
    cnn_layer_weight_budget(before);
    cJSON_Delete(plain);
    return status;
}

cnn_status cnn_model_from_json(cnn_model **out, const char *json, const cnn_load_options *options) {
    cJSON *spec;
    CNN_TRY(cnn_json_parse(&spec, "model_from_json", json));
    cnn_status status = cnn_model_from_spec(out, spec, options, CNN_MOST_WEIGHTS);
    cJSON_Delete(spec);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "model_from_json");
}
