/* HDF5: what is written is read again, by us and by h5py; what others write is read; and no file, however damaged, does
 * more than end in an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/h5.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/cnn_test_h5.XXXXXX";

static char *in_folder(const char *name) {
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

#define OK(call) ok((call), __LINE__)
static void ok(cnn_status status, int line) {
    if (status != CNN_OK) fail_msg("line %d: %s", line, cnn_error_message());
}

static void assert_message(const char *part) {
    if (!strstr(cnn_error_message(), part)) fail_msg("'%s' is not in '%s'", part, cnn_error_message());
}

/* ---- trees ------------------------------------------------------------------------------------------------------- */

static cnn_status add_numbers(cnn_h5_node *root, const char *path, int rank, const int64_t *shape) {
    cnn_tensor *tensor;
    cnn_status status = cnn_tensor_new(&tensor, CNN_FLOAT32, rank, shape);
    if (status != CNN_OK) return status;
    for (int64_t i = 0; i < tensor->size; i++) cnn_f32(tensor)[i] = 0.5f * (float)i - 3.0f;
    status = cnn_h5_add_tensor(root, path, tensor);
    cnn_tensor_release(tensor);
    return status;
}

#define ADD(path, ...) add_numbers(root, path, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})

/* Something of everything. */
static cnn_status fill(cnn_h5_node *root) {
    static const char *const names[] = {"kernel:0", "größe", "", "a name that is longer than the others"};
    const int64_t integers[] = {INT64_MIN, -1, 0, INT64_MAX}, state[] = {0, UINT32_MAX};
    cnn_h5_node *layers, *deep;
    cnn_status status = cnn_h5_group(&layers, root, "layers");
    if (status == CNN_OK) status = cnn_h5_set_text(root, "keras_version", "3.1.1");
    if (status == CNN_OK) status = cnn_h5_set_text(root, "note", "größer");
    if (status == CNN_OK) status = cnn_h5_set_text(root, "empty", "");
    if (status == CNN_OK) status = cnn_h5_set_list(layers, "names", names, 4);
    if (status == CNN_OK) status = cnn_h5_set_list(layers, "none", NULL, 0);
    if (status == CNN_OK) status = ADD("layers/conv2d/vars/0", 3, 3, 1, 4);
    if (status == CNN_OK) status = ADD("layers/conv2d/vars/1", 4);
    if (status == CNN_OK) status = add_numbers(root, "rate", 0, NULL);
    if (status == CNN_OK) status = ADD("hollow", 0, 3);
    if (status == CNN_OK)
        status = cnn_h5_add_integers(root, "integers", CNN_H5_INT64, 2, (int64_t[]){2, 2}, integers);
    if (status == CNN_OK)
        status = cnn_h5_add_integers(root, "seed/state", CNN_H5_UINT32, 1, (int64_t[]){2}, state);
    if (status == CNN_OK) status = cnn_h5_add_integers(root, "step", CNN_H5_INT64, 0, NULL, integers + 3);
    if (status == CNN_OK) status = cnn_h5_set_text(cnn_h5_find(root, "step"), "unit", "batches");
    if (status == CNN_OK) status = cnn_h5_group(&deep, root, "d/e/e/p/e/r");
    return status;
}

static cnn_h5_node *example(void) {
    cnn_h5_node *root;
    OK(cnn_h5_new(&root));
    OK(fill(root));
    return root;
}

static void assert_same_value(const cnn_h5_value *a, const cnn_h5_value *b) {
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->rank, b->rank);
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->rank; i++) assert_int_equal(a->shape[i], b->shape[i]);
    if (a->tensor) assert_memory_equal(a->tensor->data, b->tensor->data, cnn_tensor_bytes(a->tensor));
    if (a->integers) assert_memory_equal(a->integers, b->integers, (size_t)a->count * sizeof(int64_t));
    for (int64_t i = 0; a->strings && i < a->count; i++) assert_string_equal(a->strings[i], b->strings[i]);
}

/* An empty list comes back as what HDF5 has for it: no numbers. */
static void assert_same_attribute(const cnn_h5_value *a, const cnn_h5_value *b) {
    assert_non_null(b);
    if (a->count > 0) assert_same_value(a, b);
    assert_int_equal(a->count, b->count);
}

static void assert_same_tree(const cnn_h5_node *a, const cnn_h5_node *b) {
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->child_count, b->child_count);
    assert_int_equal(a->attribute_count, b->attribute_count);
    for (int i = 0; i < a->attribute_count; i++)
        assert_same_attribute(&a->attributes[i].value, cnn_h5_get(b, a->attributes[i].name));
    assert_int_equal(!a->value, !b->value);
    if (a->value) assert_same_value(a->value, b->value);
    for (int i = 0; i < a->child_count; i++) {
        const cnn_h5_node *child = cnn_h5_find(b, a->children[i]->name);
        assert_non_null(child);
        assert_same_tree(a->children[i], child);
    }
}

static void test_finding(void **state) {
    (void)state;
    cnn_h5_node *root = example(), *vars = cnn_h5_find(root, "layers/conv2d/vars");
    assert_non_null(vars);
    assert_ptr_equal(cnn_h5_find(root, "/layers//conv2d\\vars/"), vars);
    assert_ptr_equal(cnn_h5_find(cnn_h5_find(root, "layers"), "conv2d/vars"), vars);
    assert_ptr_equal(cnn_h5_find(root, ""), root);
    assert_null(cnn_h5_find(root, "layers/conv2d/var"));
    assert_null(cnn_h5_find(root, "layers/conv2d/vars/0/0"));
    assert_null(cnn_h5_find(root, "layer"));
    assert_string_equal(cnn_h5_text(root, "keras_version"), "3.1.1");
    assert_null(cnn_h5_text(root, "keras"));
    assert_null(cnn_h5_text(cnn_h5_find(root, "layers"), "names"));
    assert_null(cnn_h5_get(vars, "names"));
    cnn_h5_free(root);
    cnn_h5_free(NULL);
}

static void test_backslashes_separate(void **state) {
    (void)state;
    cnn_h5_node *root, *node;
    OK(cnn_h5_new(&root));
    OK(cnn_h5_group(&node, root, "layers\\conv2d/vars"));
    OK(ADD("layers\\conv2d\\vars/0", 2));
    assert_int_equal(root->child_count, 1);
    assert_string_equal(root->children[0]->name, "layers\\conv2d");
    assert_non_null(cnn_h5_find(root, "layers/conv2d/vars/0"));
    OK(ADD("layers/dense/vars/0", 2)); /* beside the other: neither hides what the other has */
    assert_non_null(cnn_h5_find(root, "layers/conv2d/vars/0"));
    assert_non_null(cnn_h5_find(root, "layers\\dense/vars/0"));
    assert_null(cnn_h5_find(root, "layers\\dense/vars/1"));
    cnn_h5_free(root);
}

static void test_adding_replaces(void **state) {
    (void)state;
    cnn_h5_node *root = example(), *node = NULL;
    int children = root->child_count;
    OK(ADD("rate", 5));
    assert_int_equal(cnn_h5_find(root, "rate")->value->count, 5);
    OK(cnn_h5_add_tensor(root, "rate", cnn_h5_find(root, "rate")->value->tensor)); /* by itself */
    OK(cnn_h5_add_integers(root, "rate", CNN_H5_INT64, 0, NULL, (int64_t[]){7}));
    assert_int_equal(cnn_h5_find(root, "rate")->value->integers[0], 7);
    assert_int_equal(root->child_count, children);
    OK(cnn_h5_set_text(root, "note", "new"));
    assert_string_equal(cnn_h5_text(root, "note"), "new");
    assert_int_equal(root->attribute_count, 3);
    OK(cnn_h5_group(&node, root, "layers"));
    assert_ptr_equal(node, cnn_h5_find(root, "layers"));
    cnn_h5_free(root);
}

static void test_adding_refuses(void **state) {
    (void)state;
    cnn_h5_node *root = example(), *node = NULL;
    cnn_tensor *bytes;
    int children = root->child_count;
    OK(cnn_tensor_new(&bytes, CNN_UINT8, 0, NULL));
    assert_int_equal(cnn_h5_add_tensor(root, "x", bytes), CNN_ERROR_DTYPE);
    assert_message("uint8");
    assert_int_equal(cnn_h5_add_tensor(root, "x", NULL), CNN_ERROR_ARGUMENT);
    assert_int_equal(ADD("layers", 1), CNN_ERROR_ARGUMENT);
    assert_message("group");
    assert_int_equal(ADD("", 1), CNN_ERROR_ARGUMENT);
    assert_int_equal(ADD("a/./b", 1), CNN_ERROR_ARGUMENT);
    assert_int_equal(ADD("rate/of/interest", 1), CNN_ERROR_ARGUMENT);
    assert_message("dataset");
    assert_int_equal(cnn_h5_group(&node, root, "rate"), CNN_ERROR_ARGUMENT);
    assert_int_equal(cnn_h5_group(&node, root, "rate/of"), CNN_ERROR_ARGUMENT);
    assert_null(node);
    assert_int_equal(cnn_h5_add_integers(root, "x", CNN_H5_UINT32, 0, NULL, (int64_t[]){-1}),
                     CNN_ERROR_ARGUMENT);
    assert_int_equal(cnn_h5_add_integers(root, "x", CNN_H5_STRING, 0, NULL, (int64_t[]){1}),
                     CNN_ERROR_ARGUMENT);
    assert_int_equal(cnn_h5_add_integers(root, "x", CNN_H5_INT64, 1, (int64_t[]){-2}, NULL), CNN_ERROR_SHAPE);
    assert_int_equal(cnn_h5_set_text(root, "", "x"), CNN_ERROR_ARGUMENT);
    assert_int_equal(cnn_h5_set_text(root, "x", NULL), CNN_ERROR_ARGUMENT);
    assert_int_equal(cnn_h5_set_list(root, "x", NULL, -1), CNN_ERROR_ARGUMENT);
    char deep[200] = "";
    for (int i = 0; i < CNN_H5_DEEPEST + 1; i++) strcat(deep, "x/");
    assert_int_equal(cnn_h5_group(&node, root, deep), CNN_ERROR_ARGUMENT);
    assert_int_equal(root->child_count, children);
    cnn_tensor_release(bytes);
    cnn_h5_free(root);
}

/* ---- round trips ------------------------------------------------------------------------------------------------- */

static cnn_h5_node *through_bytes(const cnn_h5_node *root) {
    void *bytes;
    size_t size;
    cnn_h5_node *again;
    OK(cnn_h5_bytes(&bytes, &size, root));
    OK(cnn_h5_read_bytes(&again, "bytes", bytes, size));
    cnn_free(bytes);
    return again;
}

static void test_round_trip(void **state) {
    (void)state;
    cnn_h5_node *root = example(), *again = through_bytes(root);
    assert_same_tree(root, again);
    cnn_h5_free(again);
    char *path = in_folder("example.h5");
    OK(cnn_h5_write(root, path));
    OK(cnn_h5_read(&again, path));
    assert_same_tree(root, again);
    assert_string_equal(again->children[0]->name, "d"); /* by name: HDF5 keeps no other order by itself */
    cnn_h5_free(again);
    cnn_h5_free(root);
    unlink(path);
}

static void test_empty_tree(void **state) {
    (void)state;
    cnn_h5_node *root, *again;
    OK(cnn_h5_new(&root));
    again = through_bytes(root);
    assert_same_tree(root, again);
    cnn_h5_free(again);
    cnn_h5_free(root);
}

static void test_deepest_tree(void **state) {
    (void)state;
    cnn_h5_node *root, *node, *again;
    OK(cnn_h5_new(&root));
    node = root;
    for (int i = 0; i < CNN_H5_DEEPEST; i++) OK(cnn_h5_group(&node, node, "x"));
    again = through_bytes(root);
    assert_same_tree(root, again);
    cnn_h5_free(again);
    OK(cnn_h5_group(&node, node, "too deep"));
    void *bytes;
    size_t size;
    assert_int_equal(cnn_h5_bytes(&bytes, &size, root), CNN_ERROR_ARGUMENT);
    assert_message("too deep");
    cnn_h5_free(root);
}

static void test_same_tree_same_bytes(void **state) {
    (void)state;
    cnn_h5_node *root = example();
    void *first, *second;
    size_t size, second_size;
    OK(cnn_h5_bytes(&first, &size, root));
    for (time_t now = time(NULL); time(NULL) == now;) usleep(10000); /* a time in the file would differ */
    OK(cnn_h5_bytes(&second, &second_size, root));
    assert_int_equal(size, second_size);
    assert_memory_equal(first, second, size);
    cnn_free(first);
    cnn_free(second);
    cnn_h5_free(root);
}

/* A dataset of several pieces; its rows are not a divisor of one. */
static void test_large_tensor(void **state) {
    (void)state;
    cnn_h5_node *root, *again;
    OK(cnn_h5_new(&root));
    OK(ADD("large", 1, 1777, 1, 1999));
    OK(ADD("flat", 3000001));
    OK(ADD("one/row", 1, 1, 1500000));
    again = through_bytes(root);
    assert_same_tree(root, again);
    cnn_h5_free(again);
    cnn_h5_free(root);
}

/* ---- lists in parts ---------------------------------------------------------------------------------------------- */

enum { MANY = 3000 };

static void set_long_list(cnn_h5_node *node, const char *name, int count) {
    static char text[MANY][64];
    const char *list[MANY];
    for (int i = 0; i < count; i++) {
        snprintf(text[i], sizeof text[i], "model/block_%d/convolution_%d/kernel:0", i / 7, i);
        list[i] = text[i];
    }
    OK(cnn_h5_set_list(node, name, list, count));
}

static void test_long_lists_are_split(void **state) {
    (void)state;
    cnn_h5_node *root, *again;
    OK(cnn_h5_new(&root));
    set_long_list(root, "weight_names", MANY);
    OK(cnn_h5_set_text(root, "x", "y"));
    again = through_bytes(root);
    assert_same_tree(root, again);
    cnn_h5_free(again);
    cnn_h5_free(root);
}

static void test_what_only_looks_like_parts(void **state) {
    (void)state;
    cnn_h5_node *root, *again;
    static const char *const list[] = {"a", "b"};
    OK(cnn_h5_new(&root));
    for (int i = 0; i < 3; i++) {
        static const char *const whole[] = {"w", "w0", "w1"}, *const mixed[] = {"m0", "m1", "m2"};
        OK(cnn_h5_set_list(root, whole[i], list, 2)); /* the whole is there too */
        if (i != 1) OK(cnn_h5_set_list(root, mixed[i], list, 2));
    }
    OK(cnn_h5_set_text(root, "m1", "no list"));
    OK(cnn_h5_set_list(root, "0", list, 2));
    OK(cnn_h5_set_list(root, "1", list, 2));
    again = through_bytes(root);
    assert_same_tree(root, again);
    cnn_h5_free(again);
    cnn_h5_free(root);
}

static void test_string_too_long_for_a_list(void **state) {
    (void)state;
    cnn_h5_node *root, *again;
    OK(cnn_h5_new(&root));
    char *text = malloc(200001);
    memset(text, 'x', 200000);
    text[200000] = '\0';
    OK(cnn_h5_set_text(root, "config", text)); /* a single text may be of any length */
    again = through_bytes(root);
    assert_same_tree(root, again);
    cnn_h5_free(again);
    OK(cnn_h5_set_list(root, "names", (const char *const[]){text}, 1));
    void *bytes;
    size_t size;
    assert_int_equal(cnn_h5_bytes(&bytes, &size, root), CNN_ERROR_ARGUMENT);
    assert_message("names");
    free(text);
    cnn_h5_free(root);
}

/* ---- h5py -------------------------------------------------------------------------------------------------------- */

static void need_h5py(void) {
    if (system("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") == 0) return;
    print_message("no python3 with h5py here\n");
    skip();
}

static void python(const char *script, const char *arguments) {
    char *path = in_folder("script.py"), command[1200];
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(script, file);
    fclose(file);
    snprintf(command, sizeof command, "/usr/bin/python3 %s %s", path, arguments);
    int failed = system(command);
    unlink(path);
    assert_int_equal(failed, 0);
}

static void test_h5py_reads_ours(void **state) {
    (void)state;
    static const char script[] =
        "import sys, h5py, numpy as np\n"
        "f = h5py.File(sys.argv[1], 'r')\n"
        "def kind(o, name):\n"
        "    t = h5py.h5a.open(o.id, name.encode()).get_type()\n"
        "    return t.is_variable_str(), t.get_cset(), t.get_strpad()\n"
        "assert f.attrs['keras_version'] == '3.1.1' and kind(f, 'keras_version') == (True, 0, 0)\n"
        "assert f.attrs['note'] == 'größer' and kind(f, 'note')[:2] == (True, 1)\n"
        "assert f.attrs['empty'] == ''\n"
        "l = f['layers']\n"
        "names = l.attrs['names']\n"
        "assert names.dtype == 'S37' and kind(l, 'names') == (False, 0, 1)\n"
        "assert [n.decode() for n in names] == ['kernel:0', 'größe', '', 'a name that is longer than the "
        "others']\n"
        "assert l.attrs['none'].shape == (0,) and l.attrs['none'].dtype == 'float64'\n"
        "k = l['conv2d/vars/0']\n"
        "assert k.shape == (3, 3, 1, 4) and k.dtype == '<f4' and k.chunks is None\n"
        "assert (np.array(k).ravel() == 0.5 * np.arange(36) - 3).all()\n"
        "assert f['rate'].shape == () and f['rate'][()] == -3\n"
        "assert f['hollow'].shape == (0, 3)\n"
        "assert f['integers'].dtype == '<i8' and f['integers'][0, 0] == -2**63 and f['integers'][1, 1] == "
        "2**63 - 1\n"
        "assert f['seed/state'].dtype == '<u4' and list(f['seed/state']) == [0, 2**32 - 1]\n"
        "assert f['step'][()] == 2**63 - 1 and f['step'].attrs['unit'] == 'batches'\n"
        "assert list(f['d/e/e/p/e/r']) == []\n"
        "parts = [f.attrs['long%d' % i] for i in range(2)]\n"
        "assert 'long' not in f.attrs and 'long2' not in f.attrs\n"
        "assert len(np.concatenate(parts)) == 2001 and len(parts[0]) == 1001\n"
        "assert np.concatenate(parts)[2000] == b'model/block_285/convolution_2000/kernel:0'\n"
        "assert 'größe/ß' in f\n";
    need_h5py();
    cnn_h5_node *root = example();
    char *path = in_folder("ours.h5");
    set_long_list(root, "long", 2001);
    OK(ADD("größe/ß", 1));
    OK(cnn_h5_write(root, path));
    cnn_h5_free(root);
    python(script, path);
    unlink(path);
}

static const cnn_h5_value *dataset(const cnn_h5_node *root, const char *path) {
    const cnn_h5_node *node = cnn_h5_find(root, path);
    if (!node || !node->value) fail_msg("no dataset '%s'", path);
    return node->value;
}

static void assert_numbers(const cnn_h5_node *root, const char *path, cnn_h5_type type, int64_t count) {
    const cnn_h5_value *value = dataset(root, path);
    if (value->type != type || value->count != count)
        fail_msg("'%s': type %d, count %lld", path, (int)value->type, (long long)value->count);
    for (int64_t i = 0; i < count; i++) {
        double number = type == CNN_H5_FLOAT32 ? cnn_f32(value->tensor)[i] : (double)value->integers[i];
        if (number != (double)(i % 100)) fail_msg("'%s'[%lld] is %g", path, (long long)i, number);
    }
}

static void assert_strings(const cnn_h5_value *value, int rank, const char *first, const char *second) {
    assert_non_null(value);
    assert_int_equal(value->type, CNN_H5_STRING);
    assert_int_equal(value->rank, rank);
    assert_int_equal(value->count, second ? 2 : 1);
    assert_string_equal(value->strings[0], first);
    if (second) assert_string_equal(value->strings[1], second);
}

static void test_we_read_h5py(void **state) {
    (void)state;
    static const char script[] =
        "import sys, h5py, numpy as np\n"
        "from h5py import h5t, h5a, h5s, h5d\n"
        "f = h5py.File(sys.argv[1], 'w', libver=sys.argv[2])\n"
        "n = np.arange(6).reshape(2, 3)\n"
        "for t in '<f2 >f2 <f4 >f4 <f8 >f8 i1 u1 <i2 >u2 <i4 >i4 <u4 >u4 <i8 >i8 <u8'.split():\n"
        "    f['numbers/' + t.replace('<', 'l').replace('>', 'b')] = n.astype(t)\n"
        "f['bool'] = np.array([False, True])\n"
        "big = (np.arange(1300 * 1100) % 100).reshape(1300, 1100)\n"
        "f.create_dataset('gzip', data=big.astype('>f8'), chunks=(300, 70), compression='gzip', "
        "shuffle=True)\n"
        "f.create_dataset('chunk', data=big.astype('f4'), chunks=(1300, 1100), fletcher32=True)\n"
        "f.create_dataset('never', (3,), 'f4', fillvalue=0)\n"
        "f['nothing'] = h5py.Empty('f4')\n"
        "f['compound'] = np.zeros(2, [('a', 'f4'), ('b', 'i4')])\n"
        "f['reference'] = f['bool'].ref\n"
        "f['ragged'] = np.array([np.zeros(1, 'i4'), np.zeros(2, 'i4')], dtype=h5py.vlen_dtype('i4'))\n"
        "f['type'] = np.dtype('f4')\n"
        "f['texts'] = ['one', 'größe']\n"
        "f['bytes'] = np.array([b'one', b'three'])\n"
        "f['hard'] = f['bool']\n"
        "f['soft'] = h5py.SoftLink('/bool')\n"
        "f['dangling'] = h5py.SoftLink('/nowhere')\n"
        "f['loop'] = h5py.SoftLink('/loop')\n"
        "f['self'] = h5py.SoftLink('/')\n"
        "f['numbers/parent'] = f['/']\n"
        "other = sys.argv[1] + '.other'\n"
        "with h5py.File(other, 'w') as g: g['x'] = n\n"
        "f['external'] = h5py.ExternalLink(other, '/x')\n"
        "f['through'] = h5py.SoftLink('/external')\n"
        "open(sys.argv[1] + '.raw', 'wb').write(bytes(8))\n"
        "f.create_dataset('raw', (2,), 'f4', external=[(sys.argv[1] + '.raw', 0, 8)])\n"
        "layout = h5py.VirtualLayout((2, 3), 'i8')\n"
        "layout[:] = h5py.VirtualSource(other, 'x', (2, 3))\n"
        "f.create_virtual_dataset('virtual', layout)\n"
        "ordered = f.create_group('ordered', track_order=True)\n"
        "for name in 'zebra ant cow'.split(): ordered.create_group(name)\n"
        "a = f.attrs\n"
        "a['text'] = 'größe'; a['array'] = ['one', 'größe']; a['fixed'] = np.bytes_('one')\n"
        "a['list'] = np.array([b'one', b'three']); a['none'] = []; a['empty'] = h5py.Empty('S1')\n"
        "a['number'] = 3; a['flag'] = True; a['numbers'] = n; a['compound'] = np.zeros(2, [('a', 'f4')])\n"
        "def padded(name, pad, data):\n"
        "    t = h5t.C_S1.copy(); t.set_size(8); t.set_strpad(pad); t.set_cset(h5t.CSET_UTF8)\n"
        "    h5a.create(f.id, name, t, h5s.create_simple((2,))).write(np.array(data, 'S8'), mtype=t)\n"
        "padded(b'space', h5t.STR_SPACEPAD, [b'one     ', b'a b     '])\n"
        "padded(b'term', h5t.STR_NULLTERM, [b'one', b'two\\0abc'])\n"
        "for i in range(40): f['bool'].attrs['x%d' % i] = i\n"
        "f.close()\n";
    static const char *const lists[] = {"none", "empty"};
    need_h5py();
    char name[64];
    for (int latest = 0; latest < 2; latest++) {
        char *path = in_folder(latest ? "latest.h5" : "earliest.h5");
        snprintf(name, sizeof name, "%s %s", path, latest ? "latest" : "earliest");
        python(script, name);
        cnn_h5_node *root;
        OK(cnn_h5_read(&root, path));
        const cnn_h5_node *numbers = cnn_h5_find(root, "numbers");
        assert_int_equal(numbers->child_count, 17);
        for (int i = 0; i < 17; i++) {
            const char *type = numbers->children[i]->name;
            bool is_float = strchr(type, 'f') != NULL, is_uint32 = strcmp(type + 1, "u4") == 0;
            assert_numbers(numbers, type,
                           is_float    ? CNN_H5_FLOAT32
                           : is_uint32 ? CNN_H5_UINT32
                                       : CNN_H5_INT64,
                           6);
        }
        assert_numbers(root, "bool", CNN_H5_INT64, 2);
        assert_numbers(root, "hard", CNN_H5_INT64, 2);
        assert_numbers(root, "soft", CNN_H5_INT64, 2);
        assert_numbers(root, "gzip", CNN_H5_FLOAT32, 1300 * 1100);
        assert_numbers(root, "chunk", CNN_H5_FLOAT32, 1300 * 1100);
        assert_int_equal(dataset(root, "never")->count, 3);
        assert_int_equal(dataset(root, "nothing")->count, 0);
        static const char *const absent[] = {"compound", "reference", "ragged", "type",
                                             "dangling", "loop",      "self",   "numbers/parent",
                                             "external", "through",   "raw",    "virtual"};
        for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
            if (cnn_h5_find(root, absent[i])) fail_msg("'%s' was read", absent[i]);
        assert_strings(dataset(root, "texts"), 1, "one", "größe");
        assert_strings(dataset(root, "bytes"), 1, "one", "three");
        const cnn_h5_node *ordered = cnn_h5_find(root, "ordered");
        assert_string_equal(ordered->children[0]->name, "zebra");
        assert_string_equal(ordered->children[2]->name, "cow");
        assert_strings(cnn_h5_get(root, "text"), 0, "größe", NULL);
        assert_strings(cnn_h5_get(root, "array"), 1, "one", "größe");
        assert_strings(cnn_h5_get(root, "fixed"), 0, "one", NULL);
        assert_strings(cnn_h5_get(root, "list"), 1, "one", "three");
        assert_strings(cnn_h5_get(root, "space"), 1, "one", "a b");
        assert_strings(cnn_h5_get(root, "term"), 1, "one", "two");
        for (int i = 0; i < 2; i++) assert_int_equal(cnn_h5_get(root, lists[i])->count, 0);
        assert_int_equal(cnn_h5_get(root, "number")->integers[0], 3);
        assert_int_equal(cnn_h5_get(root, "flag")->integers[0], 1);
        assert_int_equal(cnn_h5_get(root, "numbers")->integers[5], 5);
        assert_null(cnn_h5_get(root, "compound"));
        assert_int_equal(cnn_h5_find(root, "bool")->attribute_count, 40);
        assert_int_equal(cnn_h5_get(cnn_h5_find(root, "bool"), "x39")->integers[0], 39);
        cnn_h5_free(root);
        unlink(path);
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "%s.%s", latest ? "latest.h5" : "earliest.h5", i ? "raw" : "other");
            unlink(in_folder(name));
        }
    }
}

/* ---- files that are not what they should be ---------------------------------------------------------------------- */

static void put(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void test_files_that_are_none(void **state) {
    (void)state;
    cnn_h5_node *root = NULL;
    char *path = in_folder("text.h5");
    assert_int_equal(cnn_h5_read(&root, in_folder("none.h5")), CNN_ERROR_IO);
    assert_message("none.h5: No such file");
    assert_int_equal(cnn_h5_read(&root, folder), CNN_ERROR_IO);
    assert_message("directory");
    assert_int_equal(cnn_h5_read(&root, "/dev/null"), CNN_ERROR_IO);
    assert_message("regular file");
    put(path, "", 0);
    assert_int_equal(cnn_h5_read(&root, path), CNN_ERROR_FORMAT);
    assert_message("not an HDF5 file");
    put(path, "This is a text.", 15);
    assert_int_equal(cnn_h5_read(&root, path), CNN_ERROR_FORMAT);
    assert_message("text.h5 is not an HDF5 file");
    put(path, "\x89HDF\r\n\x1a\n", 8);
    assert_int_equal(cnn_h5_read(&root, path), CNN_ERROR_FORMAT);
    assert_message("damaged");
    assert_int_equal(cnn_h5_read_bytes(&root, "member", "x", 1), CNN_ERROR_FORMAT);
    assert_message("member is not");
    assert_int_equal(cnn_h5_read_bytes(&root, "member", NULL, 0), CNN_ERROR_FORMAT);
    assert_null(root);
    unlink(path);
}

static void test_a_file_cut_short(void **state) {
    (void)state;
    cnn_h5_node *root = example(), *again = NULL;
    void *bytes;
    size_t size;
    char *path = in_folder("cut.h5");
    OK(cnn_h5_bytes(&bytes, &size, root));
    put(path, bytes, size / 2);
    assert_int_equal(cnn_h5_read(&again, path), CNN_ERROR_FORMAT);
    assert_message("cut.h5 is damaged: it cannot be opened (truncated file");
    assert_null(again);
    cnn_free(bytes);
    cnn_h5_free(root);
    unlink(path);
}

static void test_user_block(void **state) {
    (void)state;
    cnn_h5_node *root = example(), *again;
    void *bytes;
    size_t size;
    OK(cnn_h5_bytes(&bytes, &size, root));
    char *shifted = calloc(1, size + 1024), *path = in_folder("user.h5");
    memcpy(shifted + 1024, bytes, size);
    put(path, shifted, size + 1024);
    OK(cnn_h5_read(&again, path));
    assert_same_tree(root, again);
    unlink(path);
    free(shifted);
    cnn_free(bytes);
    cnn_h5_free(root);
    cnn_h5_free(again);
}

/* Either the tree is read, as where nothing that counts was hit, or the file is told damaged; no more. */
static bool survives_damage(const void *bytes, size_t size, const char *what, size_t at) {
    cnn_h5_node *root = NULL;
    size_t before = cnn_memory_used();
    cnn_status status = cnn_h5_read_bytes(&root, "damaged", bytes, size);
    if (status != CNN_OK && status != CNN_ERROR_FORMAT)
        fail_msg("%s at %zu: status %d, %s", what, at, (int)status, cnn_error_message());
    if (status == CNN_ERROR_FORMAT) assert_null(root);
    cnn_h5_free(root);
    assert_int_equal(cnn_memory_used(), before);
    return status == CNN_OK;
}

static void test_damaged_files(void **state) {
    (void)state;
    cnn_h5_node *root;
    void *bytes;
    size_t size;
    OK(cnn_h5_new(&root));
    OK(ADD("layers/dense/kernel", 3, 2));
    OK(cnn_h5_set_text(root, "config", "{\"name\": \"net\"}"));
    OK(cnn_h5_set_list(root, "names", (const char *const[]){"dense", "conv"}, 2));
    OK(cnn_h5_bytes(&bytes, &size, root));
    uint8_t *copy = malloc(size);
    enum { STEPS = 40 };
    int whole = 0, damaged = 0;
    for (int i = 0; i < STEPS; i++) {
        size_t at = size * (size_t)i / STEPS, next = size * (size_t)(i + 1) / STEPS;
        static const char *const kinds[] = {"zeros", "ones", "flipped bit"};
        for (int kind = 0; kind < 3; kind++) {
            memcpy(copy, bytes, size);
            if (kind < 2) memset(copy + at, kind ? 0xff : 0, next - at);
            for (size_t j = at; kind == 2 && j < next; j++)
                copy[j] ^= (uint8_t)(1u << (j * 5 + (size_t)i) % 8);
            bool read = survives_damage(copy, size, kinds[kind], at);
            whole += read;
            damaged += !read;
        }
        if (survives_damage(bytes, at, "cut", at)) fail_msg("a file cut at %zu of %zu was read", at, size);
    }
    assert_true(whole > STEPS / 2 && damaged > STEPS / 2);
    free(copy);
    cnn_free(bytes);
    cnn_h5_free(root);
}

/* Single bytes of the headers, where the library's own checks are. */
static void test_damaged_bytes(void **state) {
    (void)state;
    cnn_h5_node *root;
    uint8_t *copy;
    void *bytes;
    size_t size, used = 0;
    OK(cnn_h5_new(&root));
    OK(ADD("kernel", 3, 2));
    OK(cnn_h5_bytes(&bytes, &size, root));
    copy = malloc(size);
    memcpy(copy, bytes, size);
    for (size_t at = 0; at < size && used < 100; at++) {
        if (copy[at] == 0) continue;
        copy[at] ^= used % 2 ? 0xff : 0x11;
        survives_damage(copy, size, "byte", at);
        copy[at] = ((uint8_t *)bytes)[at];
        used++;
    }
    free(copy);
    cnn_free(bytes);
    cnn_h5_free(root);
}

/* A small file may say of a dataset that was never written that it is huge. */
static void test_announced_sizes(void **state) {
    (void)state;
    static const char script[] = "import sys, h5py\n"
                                 "with h5py.File(sys.argv[1], 'w') as f:\n"
                                 "    f.create_dataset('x', (1 << 40,), 'f4', chunks=(1 << 20,))\n";
    cnn_h5_node *root = NULL;
    char *path = in_folder("huge.h5");
    need_h5py();
    python(script, path);
    assert_int_equal(cnn_h5_read(&root, path), CNN_ERROR_FORMAT);
    assert_message("'/x'");
    assert_message("larger");
    assert_null(root);
    unlink(path);
}

/* ---- what goes wrong around ---------------------------------------------------------------------------------------- */

/* Children of this process, found as ps does. */
static int find_children(pid_t *found, int most) {
    DIR *proc = opendir("/proc");
    int count = 0;
    if (!proc) return 0;
    for (struct dirent *entry; (entry = readdir(proc));) {
        char path[64];
        int pid = atoi(entry->d_name), parent = 0;
        if (pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%*d (%*[^)]) %*c %d", &parent) == 1 && parent == getpid() && count < most)
            found[count++] = pid;
        fclose(file);
    }
    closedir(proc);
    return count;
}

static int open_files(void) {
    DIR *list = opendir("/proc/self/fd");
    int count = 0;
    assert_non_null(list);
    while (readdir(list)) count++;
    closedir(list);
    return count;
}

static void assert_no_children(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static int strikes; /* signal to send to the child; 0: interrupt instead */

/* The parent's first allocation of some megabytes comes while the child still sends them. */
static bool strike(size_t size, void *data) {
    (void)data;
    pid_t child;
    if (size < 4 << 20) return false;
    if (strikes == 0)
        cnn_interrupt();
    else if (find_children(&child, 1) == 1)
        kill(child, strikes);
    return false;
}

static cnn_status read_struck(const char *path, int number) {
    cnn_h5_node *root = NULL;
    size_t before = cnn_memory_used();
    int files = open_files();
    strikes = number;
    cnn_set_alloc_hook(strike, NULL);
    cnn_status status = cnn_h5_read(&root, path);
    cnn_set_alloc_hook(NULL, NULL);
    cnn_interrupt_clear();
    if (status != CNN_OK) assert_null(root);
    cnn_h5_free(root);
    assert_int_equal(cnn_memory_used(), before);
    assert_int_equal(open_files(), files);
    assert_no_children();
    return status;
}

static char *large_file(void) {
    cnn_h5_node *root;
    char *path = in_folder("large.h5");
    OK(cnn_h5_new(&root));
    OK(ADD("large", 4096, 2048));
    OK(cnn_h5_write(root, path));
    cnn_h5_free(root);
    return path;
}

static void test_a_child_that_dies_is_a_damaged_file(void **state) {
    (void)state;
    char *path = large_file();
    assert_int_equal(read_struck(path, SIGSEGV), CNN_ERROR_FORMAT);
    assert_message("large.h5 is damaged");
    assert_message("crashed");
    assert_int_equal(read_struck(path, SIGKILL), CNN_ERROR_FORMAT);
    assert_int_equal(read_struck(path, SIGXCPU), CNN_ERROR_FORMAT);
    assert_message("too long");
    assert_int_equal(read_struck(path, SIGINT), CNN_OK); /* the keyboard is the parent's */
    unlink(path);
}

static void test_interrupted(void **state) {
    (void)state;
    char *path = large_file();
    assert_int_equal(read_struck(path, 0), CNN_ERROR_INTERRUPTED);
    assert_message("interrupted");
    cnn_h5_node *root = NULL;
    cnn_interrupt();
    assert_int_equal(cnn_h5_read(&root, path), CNN_ERROR_INTERRUPTED);
    cnn_interrupt_clear();
    assert_null(root);
    assert_no_children();
    unlink(path);
}

/* A host that lets the system bury its children never learns how they died. */
static void test_ignored_children(void **state) {
    (void)state;
    char *path = large_file();
    void (*handler)(int) = signal(SIGCHLD, SIG_IGN);
    cnn_status fine = read_struck(path, SIGINT), dead = read_struck(path, SIGKILL);
    signal(SIGCHLD, handler);
    assert_int_equal(fine, CNN_OK);
    assert_int_equal(dead, CNN_ERROR_FORMAT);
    assert_message("damaged");
    unlink(path);
}

static void test_nothing_stays_open(void **state) {
    (void)state;
    char *path = in_folder("example.h5");
    cnn_h5_node *root = example(), *again;
    OK(cnn_h5_write(root, path));
    int files = open_files();
    for (int i = 0; i < 3; i++) {
        OK(cnn_h5_read(&again, path));
        cnn_h5_free(again);
        OK(cnn_h5_write(root, path));
    }
    assert_int_equal(open_files(), files);
    assert_no_children();
    cnn_h5_free(root);
    unlink(path);
}

/* Several threads at once: the HDF5 library itself could not. */
static void *write_and_read(void *data) {
    cnn_h5_node *root = data, *again = NULL;
    for (int i = 0; i < 5; i++) {
        void *bytes;
        size_t size;
        if (cnn_h5_bytes(&bytes, &size, root) != CNN_OK) return root;
        cnn_status status = cnn_h5_read_bytes(&again, "bytes", bytes, size);
        cnn_free(bytes);
        if (status != CNN_OK) return root;
        cnn_h5_free(again);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    cnn_h5_node *root = example();
    pthread_t threads[4];
    void *failed;
    int files = open_files();
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, write_and_read, root), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(open_files(), files);
    assert_no_children();
    cnn_h5_free(root);
}

static int left;

static bool fail_in_turn(size_t size, void *data) {
    (void)size;
    (void)data;
    return left-- == 0;
}

static cnn_status build_write_read(const char *path) {
    cnn_h5_node *root = NULL, *again = NULL;
    cnn_status status = cnn_h5_new(&root);
    if (status == CNN_OK) status = fill(root);
    if (status == CNN_OK) status = cnn_h5_write(root, path);
    if (status == CNN_OK) status = cnn_h5_read(&again, path);
    if (status == CNN_OK) assert_same_tree(root, again);
    cnn_h5_free(root);
    cnn_h5_free(again);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    char *path = in_folder("memory.h5");
    size_t before = cnn_memory_used();
    int files = open_files(), failures = 0;
    for (cnn_status status = CNN_ERROR_MEMORY; status != CNN_OK; failures++) {
        left = failures;
        cnn_set_alloc_hook(fail_in_turn, NULL);
        status = build_write_read(path);
        cnn_set_alloc_hook(NULL, NULL);
        if (status != CNN_OK && status != CNN_ERROR_MEMORY) fail_msg("%d: %s", failures, cnn_error_message());
        if (status == CNN_ERROR_MEMORY) assert_message("memory");
        assert_int_equal(cnn_memory_used(), before);
    }
    assert_true(failures > 50);
    assert_int_equal(open_files(), files);
    assert_no_children();
    unlink(path);
}

/* A list that is put together in reading: its allocations fail here, the writing's not. */
static void test_allocations_of_joined_lists_may_fail(void **state) {
    (void)state;
    cnn_h5_node *root, *again = NULL;
    void *bytes;
    size_t size;
    OK(cnn_h5_new(&root));
    set_long_list(root, "names", MANY);
    OK(cnn_h5_bytes(&bytes, &size, root));
    size_t before = cnn_memory_used();
    int failures = 0;
    for (cnn_status status = CNN_ERROR_MEMORY; status != CNN_OK; failures++) {
        left = failures;
        cnn_set_alloc_hook(fail_in_turn, NULL);
        status = cnn_h5_read_bytes(&again, "bytes", bytes, size);
        cnn_set_alloc_hook(NULL, NULL);
        if (status != CNN_OK) assert_int_equal(status, CNN_ERROR_MEMORY);
        if (status != CNN_OK) assert_int_equal(cnn_memory_used(), before);
    }
    assert_true(failures > 8);
    assert_same_tree(root, again);
    cnn_h5_free(again);
    cnn_h5_free(root);
    cnn_free(bytes);
}

static void test_a_failed_addition_leaves_the_tree(void **state) {
    (void)state;
    cnn_h5_node *root = example(), *reference = example();
    int failures = 0;
    for (cnn_status status = CNN_ERROR_MEMORY; status != CNN_OK; failures++) {
        left = failures;
        cnn_set_alloc_hook(fail_in_turn, NULL);
        status = cnn_h5_add_integers(root, "layers/new/part/x", CNN_H5_INT64, 0, NULL, (int64_t[]){1});
        cnn_set_alloc_hook(NULL, NULL);
        if (status != CNN_OK) assert_same_tree(reference, root);
    }
    assert_true(failures > 5);
    cnn_h5_free(root);
    cnn_h5_free(reference);
}

static void test_failed_write_leaves_the_old_file(void **state) {
    (void)state;
    char *path = in_folder("full.h5");
    cnn_h5_node *root = example(), *again;
    OK(cnn_h5_write(root, path));
    OK(ADD("more", 100000));
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    cnn_status status = cnn_h5_write(root, path);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, CNN_ERROR_IO);
    assert_message("full.h5");
    assert_int_equal(cnn_h5_write(root, "/dev/full"), CNN_ERROR_IO);
    OK(cnn_h5_read(&again, path));
    assert_null(cnn_h5_find(again, "more"));
    cnn_h5_free(root);
    cnn_h5_free(again);
    unlink(path);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder); /* fails if a test left anything */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finding),
        cmocka_unit_test(test_backslashes_separate),
        cmocka_unit_test(test_adding_replaces),
        cmocka_unit_test(test_adding_refuses),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty_tree),
        cmocka_unit_test(test_deepest_tree),
        cmocka_unit_test(test_same_tree_same_bytes),
        cmocka_unit_test(test_large_tensor),
        cmocka_unit_test(test_long_lists_are_split),
        cmocka_unit_test(test_what_only_looks_like_parts),
        cmocka_unit_test(test_string_too_long_for_a_list),
        cmocka_unit_test(test_h5py_reads_ours),
        cmocka_unit_test(test_we_read_h5py),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_a_file_cut_short),
        cmocka_unit_test(test_user_block),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_damaged_bytes),
        cmocka_unit_test(test_announced_sizes),
        cmocka_unit_test(test_a_child_that_dies_is_a_damaged_file),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_ignored_children),
        cmocka_unit_test(test_nothing_stays_open),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_allocations_of_joined_lists_may_fail),
        cmocka_unit_test(test_a_failed_addition_leaves_the_tree),
        cmocka_unit_test(test_failed_write_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
