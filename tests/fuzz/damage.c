/* Damaged files: real files of every kind that libcnn reads are damaged in thousands of ways, the same ones in every
 * run, and given to their loaders.
 *
 *     damage [STEP]     tries every STEP-th damage; 1 is all of them
 *
 * Of each it asserts: no crash, no hang (SECONDS for one file), a clean error with a message or CNN_OK, nothing left
 * allocated, weights untouched by a load that failed, and no more memory than bound() allows. What loads must be able to
 * predict, or refuse cleanly. Zip archives are damaged as they are, and inside: their members are damaged and the
 * archive made anew, with the right checksums, so that the readers of HDF5 and JSON get to see it.
 * The data set folder CNNLUA_DATA may have keras_models beside it: then files that Keras wrote are damaged too. */
#include "base/memory.h"
#include "io/archive.h"
#include "io/h5.h"
#include "model/model.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { SECONDS = 120, DEFAULT_STEP = 11 };
#else
enum { SECONDS = 60, DEFAULT_STEP = 47 };
#endif

typedef enum file_kind { MODEL, WEIGHTS, NPZ, NPY, SAFETENSORS } file_kind;

/* A file that is whole. */
typedef struct sample {
    char name[64];
    file_kind kind;
    unsigned char *bytes;
    size_t size;
} sample;

static char folder[64];
static char current[256]; /* which damage is being tried */
static pid_t self;
static long step, made, tried, loaded, refused, children_died, failures;
static cnn_model *target; /* takes the weights */

static void failed(const char *what) {
    failures++;
    printf("not ok %s: %s (%s)\n", current, what, cnn_error_message());
}

static void need(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "damage: %s: %s\n", what, cnn_error_message());
    exit(2);
}

#define NEED(call) need((call) == CNN_OK, #call)

/* ---- dying -------------------------------------------------------------------------------------------------- */

/* Tells what was being tried, then dies of it. In a child of the reader it only dies. */
static void last_words(int signal_number) {
    if (getpid() == self) {
        static const char text[] = "\nnot ok: crashed or hung at ";
        ssize_t written = write(1, text, sizeof text - 1);
        written = write(1, current, strlen(current));
        written = write(1, "\n", 1);
        (void)written;
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void catch_signals(void) {
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    self = getpid();
    signal(SIGALRM, last_words);
#ifndef __SANITIZE_ADDRESS__ /* which has a report of its own to make */
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], last_words);
#else
    (void)fatal;
#endif
}

/* ---- the bound ---------------------------------------------------------------------------------------------- */

/* The most that a loader may hold, for a file of this size. What is compressed can grow by a factor of 1032, and models
 * need their weights, optimizer's state and the file's tree at once. */
static size_t bound(file_kind kind, size_t size) {
    bool compressed = kind == MODEL || kind == WEIGHTS || kind == NPZ;
    return compressed ? ((size_t)64 << 20) + 1100 * size : ((size_t)8 << 20) + 8 * size;
}

static size_t start_of_case, bound_of_case;
static _Atomic size_t over; /* what went beyond */
static size_t most_held;

static bool refuse_beyond(size_t size, void *data) {
    (void)data;
    size_t now = cnn_memory_used() - start_of_case;
    if (now + size > most_held) most_held = now + size;
    if (size <= bound_of_case && now + size <= bound_of_case) return false;
    over = now + size;
    return true;
}

/* ---- one file ----------------------------------------------------------------------------------------------- */

/* Zeros through the model, one sample, if its input is of a size to be had. */
static void predict(cnn_model *model) {
    enum { INPUTS = 4, OUTPUTS = 64 };
    cnn_tensor *x[INPUTS] = {NULL}, *y[OUTPUTS] = {NULL};
    if (model->n_inputs < 1 || model->n_inputs > INPUTS || model->n_outputs > OUTPUTS) return;
    cnn_status status = CNN_OK;
    for (int i = 0; status == CNN_OK && i < model->n_inputs; i++) {
        const cnn_tensor *input = model->inputs[i];
        int64_t shape[CNN_MAX_RANK] = {1}, size = 1;
        for (int a = 1; a < input->rank; a++) {
            shape[a] = input->shape[a];
            if (shape[a] < 0 || shape[a] > 1000000 || (size *= shape[a]) > 1000000) status = CNN_ERROR_SHAPE;
        }
        if (status == CNN_OK) status = cnn_tensor_new(&x[i], input->dtype, input->rank, shape);
    }
    if (status == CNN_OK) {
        cnn_fit_options options = {.xs = {x, model->n_inputs}};
        status = cnn_model_predict_all(y, model, &options);
        if (status != CNN_OK && !*cnn_error_message()) failed("predict refuses without a word");
        if (status == CNN_OK && !y[0]) failed("predict gives nothing");
    }
    for (int i = 0; i < INPUTS; i++) cnn_tensor_release(x[i]);
    for (int i = 0; i < OUTPUTS; i++) cnn_tensor_release(y[i]);
}

static uint64_t weights_sum(const cnn_model *model) {
    const cnn_layer *layer = cnn_model_as_layer((cnn_model *)model);
    uint64_t sum = 14695981039346656037u; /* FNV-1a */
    for (int i = 0; i < cnn_layer_variable_count(layer); i++) {
        const cnn_tensor *value = cnn_layer_variable(layer, i)->value;
        const unsigned char *bytes = value->data;
        for (size_t b = 0; b < cnn_tensor_bytes(value); b++) sum = (sum ^ bytes[b]) * 1099511628211u;
    }
    return sum;
}

/* The hook stands guard over the load alone: what predicting takes is the model's business. */
static cnn_status load(file_kind kind, const char *path) {
    cnn_model *model = NULL;
    cnn_tensor *tensor = NULL;
    cnn_named_tensor *tensors = NULL;
    char *notes = NULL;
    int count = 0;
    uint64_t sum = kind == WEIGHTS ? weights_sum(target) : 0;
    cnn_set_alloc_hook(refuse_beyond, NULL);
    cnn_status status = CNN_OK;
    switch (kind) {
    case MODEL:
        status = cnn_model_load(&model, path, NULL, &notes);
        break;
    case WEIGHTS:
        status = cnn_model_load_weights(target, path, made % 5 == 0, made % 3 == 0, &notes);
        break;
    case NPZ:
        status = cnn_npz_load(&tensors, &count, path);
        break;
    case SAFETENSORS:
        status = cnn_safetensors_load(&tensors, &count, path);
        break;
    default:
        status = cnn_npy_load(&tensor, path);
        break;
    }
    cnn_set_alloc_hook(NULL, NULL);
    if (status != CNN_OK) {
        if (model || tensor || tensors || notes || count) failed("an error, and its outputs are touched");
        if (kind == WEIGHTS && weights_sum(target) != sum) failed("an error, and weights are changed");
        return status;
    }
    if (model) predict(model);
    cnn_model_release(model);
    cnn_tensor_release(tensor);
    cnn_named_tensors_free(tensors, count);
    free(notes);
    return status;
}

static bool is_clean(cnn_status status) {
    return status == CNN_ERROR_FORMAT || status == CNN_ERROR_ARGUMENT || status == CNN_ERROR_SHAPE ||
           status == CNN_ERROR_DTYPE || status == CNN_ERROR_MEMORY || status == CNN_ERROR_IO;
}

/* Loads the file that lies at path. */
static cnn_status judge(file_kind kind, const char *path) {
    struct stat info;
    need(stat(path, &info) == 0, path);
    start_of_case = cnn_memory_used();
    bound_of_case = bound(kind, (size_t)info.st_size);
    over = 0;
    alarm(SECONDS);
    cnn_status status = load(kind, path);
    alarm(0);
    tried++;
    if (status == CNN_OK) {
        loaded++;
    } else {
        refused++;
        if (!is_clean(status)) failed("an error of a kind that damage cannot cause");
        if (!*cnn_error_message()) failed("an error without a message");
        if (strstr(cnn_error_message(), "the HDF5 library")) children_died++; /* crashed, or took too long */
    }
    if (over) {
        printf("    %zu bytes where %zu are allowed\n", (size_t)over, bound_of_case);
        failed("takes too much memory");
    }
    if (cnn_memory_used() != start_of_case) {
        printf("    %zu bytes before, %zu after\n", start_of_case, cnn_memory_used());
        failed("leaks");
    }
    return status;
}

/* In memory, if there is such a place: files are flushed to the disk before they are renamed. */
static void make_folder(void) {
    static const char *const places[] = {"/dev/shm/cnn_damage.XXXXXX", "/tmp/cnn_damage.XXXXXX"};
    for (int i = 0; i < 2; i++) {
        strcpy(folder, places[i]);
        if (mkdtemp(folder)) return;
    }
    need(false, folder);
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* The path of a file in the test's folder; the last four names stay valid. */
static const char *in_folder(const char *name) {
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static sample read_file(const char *path, const char *name, file_kind kind) {
    sample s = {.kind = kind};
    snprintf(s.name, sizeof s.name, "%s", name);
    FILE *file = fopen(path, "rb");
    need(file, path);
    fseek(file, 0, SEEK_END);
    s.size = (size_t)ftell(file);
    rewind(file);
    s.bytes = malloc(s.size + 1);
    need(s.bytes && fread(s.bytes, 1, s.size, file) == s.size, path);
    fclose(file);
    return s;
}

static const char *put(const sample *s, const void *bytes, size_t size) {
    const char *path = in_folder(s->name);
    FILE *file = fopen(path, "wb");
    need(file, path);
    need(fwrite(bytes, 1, size, file) == size && fclose(file) == 0, path);
    return path;
}

/* True if the damage that comes next is to be tried; tells what it is. */
static bool due(const sample *s, const char *part, const char *how, size_t at) {
    made++;
    if (made % step != 0) return false;
    snprintf(current, sizeof current, "%s%s%s: %s at %zu", s->name, *part ? "/" : "", part, how, at);
    return true;
}

/* ---- damaging bytes ----------------------------------------------------------------------------------------- */

/* What was damaged is handed on: to be written as a file, or put into an archive. */
typedef void use_bytes(const sample *s, int part, const unsigned char *bytes, size_t size);

static const char *const ways[] = {"inverted",    "one bit",     "zeroed",    "set to 0xFF",
                                   "truncated",   "swapped",     "cut out",   "doubled",
                                   "huge 64 bit", "huge 32 bit", "sign flip", "add one"};
enum { WAYS = sizeof ways / sizeof *ways };

/* bytes: size, with room for n more. Returns the new size. */
static size_t damage(unsigned char *bytes, size_t size, int way, size_t at, size_t n) {
    size_t other = (at + size / 2) % size;
    if (n > size - at) n = size - at;
    switch (way) {
    case 0:
        for (size_t i = 0; i < n; i++) bytes[at + i] ^= 0xFF;
        return size;
    case 1:
        bytes[at] ^= (unsigned char)(1 << at % 8);
        return size;
    case 2:
        memset(bytes + at, 0, n);
        return size;
    case 3:
        memset(bytes + at, 0xFF, n);
        return size;
    case 4:
        return at;
    case 5:
        for (size_t i = 0; i < n && other + i < size; i++) {
            unsigned char held = bytes[at + i];
            bytes[at + i] = bytes[other + i];
            bytes[other + i] = held;
        }
        return size;
    case 6:
        memmove(bytes + at, bytes + at + n, size - at - n);
        return size - n;
    case 7:
        memmove(bytes + at + n, bytes + at, size - at);
        return size + n;
    case 8:
    case 9:
        for (size_t i = 0, width = way == 8 ? 8 : 4; i < width && at + i < size; i++)
            bytes[at + i] = i + 1 == width ? 0x7F : 0xFF; /* little endian */
        return size;
    case 10:
        bytes[at] ^= 0x80;
        return size;
    default:
        bytes[at]++;
        return size;
    }
}

/* Every way at each of so many regions, which lie side by side from the first byte to the end. */
static void damage_regions(const sample *s, int part, const char *part_name, const unsigned char *bytes,
                           size_t size, size_t end, size_t regions, use_bytes *use) {
    if (regions > end) regions = end;
    unsigned char *copy = malloc(2 * size + 1);
    need(copy, "memory");
    for (size_t r = 0; r < regions; r++) {
        size_t at = r * end / regions, n = (r + 1) * end / regions - at;
        for (int way = 0; way < WAYS; way++) {
            if (!due(s, part_name, ways[way], at)) continue;
            memcpy(copy, bytes, size);
            use(s, part, copy, damage(copy, size, way, at, n));
        }
    }
    free(copy);
}

static void use_file(const sample *s, int part, const unsigned char *bytes, size_t size) {
    (void)part;
    judge(s->kind, put(s, bytes, size));
}

/* ---- damaging JSON ------------------------------------------------------------------------------------------ */

static const char *const replacements[] = {"",
                                           "-1",
                                           "0",
                                           "1e308",
                                           "99999999999999999999",
                                           "2147483647",
                                           "65536",
                                           "null",
                                           "true",
                                           "\"x\"",
                                           "[]",
                                           "{}",
                                           "[0,0]",
                                           "\"\"",
                                           "[null,1000000,1000000,3]",
                                           "\"\\u0000\"",
                                           "{\"class_name\":\"Lambda\",\"config\":{}}"};
enum { REPLACEMENTS = sizeof replacements / sizeof *replacements };

/* The end of the JSON token at `at`; at itself if there is none. */
static size_t token_end(const char *text, size_t at) {
    size_t end = at;
    if (text[at] == '"') {
        for (end++; text[end] && text[end] != '"'; end++) end += text[end] == '\\' && text[end + 1];
        return end + (text[end] == '"');
    }
    while (text[end] && strchr("+-.0123456789aeflnrstuE", text[end])) end++;
    return end;
}

/* Each token of the text replaced by some of the replacements, which take turns. */
static void damage_tokens(const sample *s, int part, const char *part_name, const char *text,
                          use_bytes *use) {
    enum { EACH = 4 };
    int turn = 0;
    char *copy = malloc(strlen(text) + 128);
    need(copy, "memory");
    for (size_t at = 0, end; text[at]; at = end) {
        end = token_end(text, at);
        if (end == at) {
            end++;
            continue;
        }
        for (int i = 0; i < EACH; i++) {
            const char *replacement = replacements[turn++ % REPLACEMENTS];
            if (!due(s, part_name, replacement, at)) continue;
            int length = sprintf(copy, "%.*s%s%s", (int)at, text, replacement, text + end);
            use(s, part, (const unsigned char *)copy, (size_t)length);
        }
    }
    free(copy);
}

/* ---- inside archives ---------------------------------------------------------------------------------------- */

enum { MEMBERS = 16 };

static struct {
    cnn_member members[MEMBERS];
    void *blocks[MEMBERS];
    int count;
} archive;

static void open_archive(const sample *s) {
    cnn_archive *opened = NULL;
    NEED(cnn_archive_open(&opened, put(s, s->bytes, s->size)));
    archive.count = cnn_archive_count(opened);
    need(archive.count <= MEMBERS, "too many members");
    for (int i = 0; i < archive.count; i++) {
        cnn_member *m = &archive.members[i];
        NEED(cnn_archive_read(&archive.blocks[i], &m->size, opened, i));
        m->bytes = archive.blocks[i];
        m->name = cnn_strdup(cnn_archive_name(opened, i));
        need(m->name, "memory");
    }
    cnn_archive_close(opened);
}

static void close_archive(void) {
    for (int i = 0; i < archive.count; i++) {
        cnn_free((char *)archive.members[i].name);
        cnn_free(archive.blocks[i]);
    }
    archive.count = 0;
}

/* The archive with this in the place of one member. */
static void use_member(const sample *s, int part, const unsigned char *bytes, size_t size) {
    cnn_member members[MEMBERS];
    memcpy(members, archive.members, sizeof members);
    members[part].bytes = bytes;
    members[part].size = size;
    NEED(cnn_archive_write(in_folder(s->name), members, archive.count, false));
    judge(s->kind, in_folder(s->name));
}

static void leave_out(const sample *s, int part) {
    cnn_member members[MEMBERS];
    int count = 0;
    for (int i = 0; i < archive.count; i++)
        if (i != part) members[count++] = archive.members[i];
    NEED(cnn_archive_write(in_folder(s->name), members, count, false));
    judge(s->kind, in_folder(s->name));
}

static void damage_members(const sample *s, size_t regions) {
    open_archive(s);
    for (int i = 0; i < archive.count; i++) {
        const cnn_member *m = &archive.members[i];
        damage_regions(s, i, m->name, m->bytes, m->size, m->size, regions, use_member);
        if (strstr(m->name, ".json")) damage_tokens(s, i, m->name, m->bytes, use_member);
        if (due(s, m->name, "left out", 0)) leave_out(s, i);
    }
    close_archive();
}

/* ---- inside HDF5 -------------------------------------------------------------------------------------------- */

static cnn_h5_node *tree;
static const char *attribute;

static void use_attribute(const sample *s, int part, const unsigned char *bytes, size_t size) {
    (void)part;
    char *text = malloc(size + 1), *old = strdup(cnn_h5_text(tree, attribute));
    need(text && old, "memory");
    memcpy(text, bytes, size);
    text[size] = '\0';
    NEED(cnn_h5_set_text(tree, attribute, text));
    NEED(cnn_h5_write(tree, in_folder(s->name)));
    judge(s->kind, in_folder(s->name));
    NEED(cnn_h5_set_text(tree, attribute, old));
    free(text);
    free(old);
}

static void damage_configs(const sample *s) {
    static const char *const names[] = {"model_config", "training_config"};
    NEED(cnn_h5_read(&tree, put(s, s->bytes, s->size)));
    for (int i = 0; i < 2; i++) {
        attribute = names[i];
        char *text = strdup(cnn_h5_text(tree, attribute));
        need(text, "memory");
        damage_tokens(s, 0, attribute, text, use_attribute);
        free(text);
    }
    cnn_h5_free(tree);
    tree = NULL;
}

/* ---- made to hurt ------------------------------------------------------------------------------------------- */

static void use_text(const sample *s, char *text) {
    need(text, "memory");
    for (int i = 0; i < archive.count; i++)
        if (!strcmp(archive.members[i].name, "config.json"))
            use_member(s, i, (unsigned char *)text, strlen(text));
    free(text);
}

/* front and back repeated around the middle. */
static char *nested(const char *front, const char *middle, const char *back, int times) {
    char *text = malloc((strlen(front) + strlen(back)) * (size_t)times + strlen(middle) + 1);
    need(text, "memory");
    char *end = text;
    for (int i = 0; i < times; i++) end = stpcpy(end, front);
    end = stpcpy(end, middle);
    for (int i = 0; i < times; i++) end = stpcpy(end, back);
    return text;
}

/* Depth without end, and a member that deflates to nothing. */
static void hostile_archives(const sample *s) {
    open_archive(s);
    for (int times = 10; times <= 1000000; times *= 10) {
        if (due(s, "config.json", "brackets", (size_t)times)) use_text(s, nested("[", "", "]", times));
        if (due(s, "config.json", "models in models", (size_t)times))
            use_text(s, nested("{\"class_name\":\"Sequential\",\"config\":{\"name\":\"a\",\"layers\":[", "",
                               "]}}", times));
    }
    if (due(s, "", "64 MB of blanks", 0)) {
        enum { SIZE = 64 << 20 };
        char *blanks = malloc(SIZE);
        need(blanks, "memory");
        memset(blanks, ' ', SIZE);
        cnn_member bomb = {.name = "config.json", .bytes = blanks, .size = SIZE};
        NEED(cnn_archive_write(in_folder(s->name), &bomb, 1, true));
        free(blanks);
        judge(s->kind, in_folder(s->name));
    }
    close_archive();
}

static void hostile_trees(const sample *s) {
    for (int depth = 10; depth <= 10000; depth *= 10) {
        if (!due(s, "", "groups in groups", (size_t)depth)) continue;
        cnn_h5_node *root = NULL, *last = NULL;
        char *path = nested("a/", "a", "", depth);
        NEED(cnn_h5_read(&root, put(s, s->bytes, s->size)));
        /* Too deep to be written is fine. */
        if (cnn_h5_group(&last, root, path) == CNN_OK && cnn_h5_write(root, in_folder(s->name)) == CNN_OK)
            judge(s->kind, in_folder(s->name));
        cnn_h5_free(root);
        free(path);
    }
}

/* ---- samples ------------------------------------------------------------------------------------------------ */

static cnn_model *new_model(void) {
    static const char *const parts[][2] = {
        {"Conv2D",
         "{\"filters\": 2, \"kernel_size\": 3, \"activation\": \"relu\", \"input_shape\": [6, 6, 1]}"},
        {"BatchNormalization", NULL},
        {"MaxPooling2D", NULL},
        {"Dropout", "{\"rate\": 0.5}"},
        {"Flatten", NULL},
        {"Dense", "{\"units\": 3, \"activation\": \"softmax\"}"}};
    cnn_model *model = NULL;
    cnn_clear_session();
    NEED(cnn_sequential_new(&model, NULL));
    for (int i = 0; i < 6; i++) NEED(cnn_model_add_new(model, parts[i][0], parts[i][1]));
    return model;
}

static cnn_model *train_model(void) {
    cnn_set_seed(1);
    cnn_model *model = new_model();
    cnn_tensor *x = NULL, *y = NULL;
    double values[2];
    NEED(cnn_tensor_new(&x, CNN_FLOAT32, 4, (int64_t[]){8, 6, 6, 1}));
    NEED(cnn_tensor_new(&y, CNN_INT32, 1, (int64_t[]){8}));
    for (int64_t i = 0; i < x->size; i++) cnn_f32(x)[i] = (float)(i * 37 % 11) / 11;
    for (int i = 0; i < 8; i++) cnn_i32(y)[i] = i % 3;
    NEED(cnn_model_compile(model, "{\"optimizer\": \"adam\", \"loss\": \"sparse_categorical_crossentropy\","
                                  " \"metrics\": [\"accuracy\"]}"));
    NEED(cnn_model_train_on_batch(model, x, y, NULL, values, 2));
    cnn_tensor_release(x);
    cnn_tensor_release(y);
    return model;
}

static sample saved_model(cnn_model *model, const char *name) {
    NEED(cnn_model_save(model, in_folder(name), true));
    return read_file(in_folder(name), name, MODEL);
}

static sample saved_weights(cnn_model *model, const char *name) {
    NEED(cnn_model_save_weights(model, in_folder(name)));
    return read_file(in_folder(name), name, WEIGHTS);
}

static sample saved_tensors(const char *name, file_kind kind, bool compress) {
    cnn_named_tensor tensors[3] = {{"image", NULL}, {"labels", NULL}, {"scalar", NULL}};
    NEED(cnn_arange(&tensors[0].tensor, CNN_FLOAT32, 0, 64, 1));
    NEED(cnn_arange(&tensors[1].tensor, CNN_INT32, 0, 9, 1));
    NEED(cnn_tensor_full(&tensors[2].tensor, CNN_UINT8, 0, NULL, 7));
    const char *path = in_folder(name);
    if (kind == NPZ)
        NEED(cnn_npz_save(path, tensors, 3, compress));
    else if (kind == NPY)
        NEED(cnn_npy_save(path, tensors[0].tensor));
    else
        NEED(cnn_safetensors_save(path, tensors, 3));
    for (int i = 0; i < 3; i++) cnn_tensor_release(tensors[i].tensor);
    return read_file(path, name, kind);
}

/* A whole file must load, and takes what memory it takes for good. */
static void warm_up(const sample *s) {
    for (int i = 0; i < 2; i++) {
        long before = failures;
        snprintf(current, sizeof current, "%s: whole", s->name);
        cnn_status status = judge(s->kind, put(s, s->bytes, s->size));
        if (i == 0) failures = before;
        need(status == CNN_OK, s->name);
        tried--, loaded--;
    }
}

static void report(const sample *s, long failures_before) {
    static long last[4];
    long now[4] = {tried, loaded, refused, children_died};
    printf("%s %s: %ld damaged, %ld loaded, %ld refused, %ld readers of HDF5 died\n",
           failures == failures_before ? "ok" : "#", s->name, now[0] - last[0], now[1] - last[1],
           now[2] - last[2], now[3] - last[3]);
    fflush(stdout);
    memcpy(last, now, sizeof last);
}

static bool is_archive(const sample *s) {
    return s->size > 4 && !memcmp(s->bytes, "PK\3\4", 4);
}

static bool has_config(const sample *s) {
    return s->kind == MODEL && !is_archive(s);
}

/* Own files in all ways; of a file that Keras wrote, which is large, the headers and some of the rest. */
static void damage_sample(sample s, bool own) {
    long before = failures;
    enum { HEADERS = 4096 };
    warm_up(&s);
    damage_regions(&s, 0, "", s.bytes, s.size, s.size, own ? 32 : 16, use_file);
    if (s.size > HEADERS) damage_regions(&s, 0, "", s.bytes, s.size, HEADERS, own ? 48 : 24, use_file);
    if (is_archive(&s) && s.kind == MODEL) {
        damage_members(&s, own ? 24 : 12);
        if (own) hostile_archives(&s);
    } else if (is_archive(&s)) {
        damage_members(&s, 12);
    }
    if (has_config(&s) && own) damage_configs(&s);
    if (has_config(&s) && own) hostile_trees(&s);
    report(&s, before);
    free(s.bytes);
}

static void damage_keras_files(void) {
    static const char *const names[] = {"mnist_conv2_keras3.1.h5", "mnist_conv2_keras3.1.keras"};
    const char *data = getenv("CNNLUA_DATA");
    for (int i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/../keras_models/%s", data ? data : "", names[i]);
        if (data && access(path, R_OK) == 0)
            damage_sample(read_file(path, names[i], MODEL), false);
        else
            printf("skip %s: not beside the data sets of CNNLUA_DATA\n", names[i]);
    }
}

/* What the processes really took, the libraries' own memory with it. The sanitizers need much for themselves. */
static void check_footprint(void) {
#ifndef __SANITIZE_ADDRESS__
    enum { MOST = 768 }; /* MB */
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    long used = own.ru_maxrss >> 10, child = children.ru_maxrss >> 10;
    bool good = used <= MOST && child <= MOST;
    printf("%s memory: at most %ld MB in the process, %ld MB in a reader of HDF5\n", good ? "ok" : "not ok",
           used, child);
    failures += !good;
#endif
    printf("# loads held at most %zu MB\n", most_held >> 20);
}

int main(int count, char **arguments) {
    step = count > 1 ? atol(arguments[1]) : DEFAULT_STEP;
    need(step > 0, "usage: damage [STEP]");
    make_folder();
    catch_signals();
    NEED(cnn_set_threads(1)); /* the work is small, and threads would spend their time waiting */
    cnn_model *model = train_model();
    target = new_model();
    damage_sample(saved_model(model, "model.h5"), true);
    damage_sample(saved_model(model, "model.keras"), true);
    damage_sample(saved_weights(model, "keras2.h5"), true);
    damage_sample(saved_weights(model, "keras3.weights.h5"), true);
    damage_sample(saved_weights(model, "model.safetensors"), true);
    damage_sample(saved_tensors("stored.npz", NPZ, false), true);
    damage_sample(saved_tensors("deflated.npz", NPZ, true), true);
    damage_sample(saved_tensors("tensor.npy", NPY, false), true);
    damage_sample(saved_tensors("tensors.safetensors", SAFETENSORS, false), true);
    damage_keras_files();
    check_footprint();
    cnn_model_release(model);
    cnn_model_release(target);
    if (failures == 0) {
        char command[128];
        snprintf(command, sizeof command, "rm -r %s", folder);
        need(system(command) == 0, command);
    }
    printf(
        "# %ld of %ld damaged files tried: %ld loaded, %ld refused, %ld readers of HDF5 died, %ld failures\n",
        tried, made, loaded, refused, children_died, failures);
    return failures > 0;
}
