/** @type {import('next').NextConfig} */
export default {
  // Node loads these itself: they read files of their own, and there must be one copy of them.
  serverExternalPackages: ['comity', '@comity/contract', 'pg'],
}
