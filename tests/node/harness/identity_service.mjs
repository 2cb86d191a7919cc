// The descriptor of Flyte 2's identity service, as far as a test needs it.
import { create, createFileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, file_google_protobuf_empty } from '@bufbuild/protobuf/wkt';

const file = create(FileDescriptorProtoSchema, {
  name: 'identity.proto',
  package: 'flyteidl2.auth',
  syntax: 'proto3',
  dependency: ['google/protobuf/empty.proto'],
  service: [
    {
      name: 'IdentityService',
      method: [{ name: 'UserInfo', inputType: '.google.protobuf.Empty', outputType: '.google.protobuf.Empty' }],
    },
  ],
});

export const Identity = createFileRegistry(file, () => file_google_protobuf_empty.proto).getService(
  'flyteidl2.auth.IdentityService',
);
